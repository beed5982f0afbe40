"""`idlescope analyze`: its tables and JSON, its options, and what it refuses."""

from __future__ import annotations

import json
import os

import pytest

from idlescope import __version__
from idlescope.analysis.idle.causes import CAUSES
from tests.conftest import FIXTURES
from tests.make.commands import SMALL, idlescope, imported_by, refused
from tests.make.kineto_files import call, document, operation, span, write


def test_the_table_says_how_idle_and_why(trace):
    result = idlescope("analyze", trace, "--verbose")
    assert result.returncode == 0, result.stderr
    assert "45 µs (75.00 %)" in result.stdout  # idle
    assert "host" in result.stdout
    assert "30 µs (66.7 %)" in result.stdout


def test_json_follows_the_schema(trace):
    document = json.loads(idlescope("analyze", trace, "--json").stdout)
    assert document["schema"] == 1
    assert document["source"] == {
        "path": str(trace), "format": "kineto", "tool_version": __version__, "events": 6,
    }  # fmt: skip
    (device,) = document["devices"]
    assert device["cause_ns"] == {
        "host": 30_000,
        "launch": 5_000,
        "queued": 0,
        "unattributed": 10_000,
    }
    assert device["host_ns"] == {
        "prepare (cb:prepare_batch_tensors)": 19_500,
        "untraced": 10_500,
    }
    assert (device["window_ns"], device["active_ns"], device["compute_ns"]) == (
        60_000,
        15_000,
        10_000,
    )
    assert (device["copy_only_ns"], device["idle_ns"], device["gaps"]) == (
        5_000,
        45_000,
        2,
    )
    assert (device["idle_pct"], device["compute_idle_pct"]) == (75.0, 83.3333)
    assert device["verdict"]["kind"] == "cannot tell"
    assert set(device["cause_ns"]) == set(CAUSES)


def test_json_needs_nothing_of_what_draws_tables_or_reads_other_formats(trace):
    others = ("rich", "pandas", "pyarrow", "matplotlib", "jinja2", "sqlite3", "hashlib")
    # some releases of typer import a few of them
    of_any_command = imported_by(["--version"], others)
    assert imported_by(["analyze", trace, "--json"], others) == of_any_command


def test_the_report_escapes_what_the_trace_says(trace, tmp_path):
    result = idlescope("analyze", trace, "--out", tmp_path / "o")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "o" / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(&#39;kernel&#39;)" in page
    assert "http://" not in page
    assert (
        page.count("https://") == page.count('"https://ui.perfetto.dev"') == 1
    )  # opened by a button only
    assert (
        json.loads((tmp_path / "o" / "analysis.json").read_text())["devices"][0]["gaps"]
        == 2
    )
    refused(idlescope("analyze", trace, "--out", tmp_path / "o"), "already holds files")


def test_a_run_can_be_analysed_again(undrawn, tmp_path):
    idlescope(*SMALL, "--out", tmp_path / "o")
    devices = [
        json.loads(idlescope("analyze", tmp_path / "o" / name, "--json").stdout)["devices"][
            0
        ]
        for name in ("async.recording", "async.trace.json.gz")
    ]
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())["modes"]["async"]
    for device in devices:
        assert device["cause_ns"] == summary["cause_ns"]
        assert device["idle_ns"] == summary["idle_ns"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.write_text("no json"), "is not JSON"),
        (
            lambda p: p.write_text('{"traceEvents": [{"ph": "X", "cat": "kernel"'),
            "holds no events that ",
        ),
        (
            lambda p: write(p, [span(0, 10, "aten::add", "cpu_op")]),
            "holds no device operations",
        ),
        (lambda p: p.mkdir(), "holds no traces"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, make, reason):
    make(tmp_path / "t.json")
    refused(idlescope("analyze", tmp_path / "t.json"), reason, "t.json")


def test_the_trace_is_not_touched(trace):
    before = (trace.read_bytes(), trace.stat().st_mtime_ns)
    idlescope("analyze", trace)
    assert (trace.read_bytes(), trace.stat().st_mtime_ns) == before


def test_the_verdict_names_the_batching_and_what_the_host_was_in(steps):
    result = idlescope("analyze", steps, "--verbose")
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "spans of transformers" in text
    assert "6 (by transformers spans)" in text
    where = "cudaStreamSynchronize in cb:retrieve_device_outputs"
    assert (
        f"batching is synchronous, the host waits for each step's tokens in {where}" in text
    )
    assert (
        "Asynchronous batching (transformers: use_async_batching=True) would make it"
        in text
    )
    assert "prepare (cb:prepare_batch_tensors)" in text
    assert "Longest gaps, 0 NVIDIA H200" in text
    assert "cb:compute_batch › cudaGraphLaunch" in text
    assert "window, first to last operation" in text


def test_a_window_is_stated_with_the_figures(steps):
    result = idlescope(
        *("analyze", steps, "--verbose", "--device", "0"),
        *("--window", "steps:1-3", "--min-gap", "10us"),
    )
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "window steps:1-3" in text
    assert "shorter than 10 µs, not listed" in text
    document = json.loads(
        idlescope("analyze", steps, "--window", "steps:1-3", "--json").stdout
    )
    assert document["devices"][0]["window"]["kind"] == "steps:1-3"
    assert [s["step"] for s in document["steps"]] == [1, 2, 3]


def test_steps_and_streams_are_listed():
    result = idlescope("analyze", FIXTURES / "loop_async.json.gz", "--steps", "-v")
    assert result.returncode == 0, result.stderr
    lines = [
        " ".join(line.replace("│", " ").split()) for line in result.stdout.splitlines()
    ]
    assert "Steps of 0 NVIDIA H100 80GB HBM3, by ProfilerStep#" in lines
    assert [
        line.split()[0]
        for line in lines
        if line.endswith((" yes", " –")) and line[0].isdigit()
    ] == [str(n) for n in range(6, 18)]
    assert "Streams of 0 NVIDIA H100 80GB HBM3" in lines
    assert len([line for line in lines if line.startswith(("25 ", "29 ", "33 "))]) == 3


def test_without_frames_only_the_division_of_host_differs(steps):
    whole, bare = (
        json.loads(idlescope("analyze", steps, "--json", *options).stdout)
        for options in ((), ("--no-frames",))
    )
    for figure in ("active_ns", "idle_ns", "cause_ns", "gaps", "streams"):
        assert whole["devices"][0][figure] == bare["devices"][0][figure]


def test_engines_from_a_file(steps, tmp_path):
    (tmp_path / "p.json").write_text(
        '{"mine": [["cb:prepare_next_batch", "step"], ["cb:", "schedule"]]}'
    )
    document = json.loads(
        idlescope("analyze", steps, "--json", "--phases", tmp_path / "p.json").stdout
    )
    assert document["engine"] == "transformers"  # its own rules match more of the names
    (tmp_path / "p.json").write_text(
        '{"transformers": [["cb:prepare_next_batch", "step"]]}'
    )
    document = json.loads(
        idlescope("analyze", steps, "--json", "--phases", tmp_path / "p.json").stdout
    )
    assert {s["found"] for s in document["steps"]} == {"transformers spans"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--window", "everything"), "is no window"),
        (
            ("--window", "steps:70-80"),
            "no operation belongs to these steps; the trace's steps: 0 to 5",
        ),
        (("--device", "3"), "it has device 0 of process"),
        (("--min-gap", "long"), "is no length of time"),
        (("--phases", "none.json"), "cannot be read"),
    ],
)
def test_what_is_not_there_is_one_sentence(steps, options, reason):
    refused(idlescope("analyze", steps, *options), reason)


def test_doubtful_figures_are_marked(tmp_path):
    text = json.dumps(
        document([call(0, 10, 1), operation(20, 90, correlation=1), operation(-5, 7)])
    )
    (tmp_path / "t.json").write_text(text.replace('"dur": 0.012', '"dur": "?"'))
    result = idlescope("analyze", tmp_path / "t.json")
    assert result.returncode == 0, result.stderr
    assert "~70 ns" in result.stdout
    assert (
        "operations whose times are no numbers were left out: 1, the first at byte "
        in result.stdout
    )


def test_a_host_only_trace_says_what_to_do():
    for file, steps, advice in (
        ("cpu_engine.json.gz", 4, "ProfilerActivity"),
        ("nsys_cpu.sqlite", 40, "nsys profile"),
        ("nsys_cpu_parquet", 40, "nsys profile"),
    ):
        done = idlescope("analyze", FIXTURES / file, "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["devices"], said["engine"]) == ([], "idlescope")
        assert said["phases"][0]["steps"] == steps
        assert "holds no device operations" in said["warnings"][-1]
        assert advice in said["warnings"][-1]
    for asked in (["--window", "time:0-1s"], ["--device", "0"]):  # of what is not there
        refused(
            idlescope("analyze", FIXTURES / "cpu_engine.json.gz", *asked),
            "holds no device operations",
        )


def test_analyze_says_what_asynchronous_batching_would_give_and_how_far_the_roofline_is():
    options = ("--model", "8b", "--batch-size", "32", "--context", "512")
    shown = idlescope("analyze", FIXTURES / "transformers_sync.json.gz", *options, "-v")
    assert "time per step if asynchronous, predicted" in shown.stdout
    assert "Asynchronous: 13.93 ms per step instead of 17.61" in shown.stdout
    assert "at 27 % of the roofline of one" in " ".join(shown.stdout.split())
    device = json.loads(
        idlescope(
            "analyze", FIXTURES / "transformers_sync.json.gz", *options, "--json"
        ).stdout
    )["devices"][0]
    assert device["predicted"]["step_ms"] == pytest.approx(13.93, abs=0.01)
    assert device["roofline"]["gpu"] == "h200"
    refused(
        idlescope("analyze", FIXTURES / "loop_sync.json.gz", "--context", "5"),
        "give --model, too",
    )
    refused(
        idlescope("analyze", FIXTURES / "loop_sync.json.gz", "--gpu", "mi300"),
        "no GPU is known as 'mi300'",
    )


def test_the_trace_is_not_overwritten_with_its_report(trace):
    before = trace.read_bytes()
    refused(idlescope("analyze", trace, "--out", trace.parent, "--force"), "never changed")
    assert (trace.read_bytes(), os.listdir(trace.parent)) == (before, [trace.name])
