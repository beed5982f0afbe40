"""The command line as a newcomer uses it: in this process, which saves starting one, or where it matters in its own."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from idlescope import __version__
from idlescope.analysis.idle.causes import CAUSES
from idlescope.cli import main
from tests.conftest import FIXTURES
from tests.make import checkpoints
from tests.make.kineto_files import call, document, operation, span, write

SMALL = [
    "run",
    "--model",
    "tiny",
    "--tokens",
    "30",
    "--batch-size",
    "4",
    "--device",
    "modelled:a100",
]


def idlescope(*arguments, cwd=None):
    """Run a command and return what it printed and its exit code, as of a process."""
    command, code, before = ["idlescope", *map(str, arguments)], 0, Path.cwd()
    streams = [
        io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)
    ]
    with (
        patch.dict(os.environ, COLUMNS="100", NO_COLOR="1"), patch.object(sys, "argv", command),
        redirect_stdout(streams[0]), redirect_stderr(streams[1]),
    ):  # fmt: skip
        os.chdir(cwd or before)
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            os.chdir(before)
    return subprocess.CompletedProcess(
        command, code, *(s.buffer.getvalue().decode() for s in streams)
    )


def in_a_process(*arguments, cwd=None):
    """Run a command as `idlescope` does, in a process of its own."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "idlescope", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def refused(result, *parts):
    """One clear sentence on stderr, exit code 2, nothing on stdout."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("idlescope: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


@pytest.fixture
def trace(tmp_path):
    events = [
        call(0, 2_000, 1),
        operation(5_000, 10_000, correlation=1),
        span(10_500, 30_000, "cb:prepare_batch_tensors"),
        call(40_000, 42_000, 2),
        operation(45_000, 50_000, "memcpy", correlation=2),
        operation(60_000, 65_000, name="<script>alert('kernel')</script>"),
    ]
    return write(tmp_path / "a.json.gz", events)


def test_help_needs_none_of_the_heavy_libraries():
    program = (
        "import sys; sys.argv = ['idlescope', '--help']\n"
        "from idlescope.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'pandas', 'matplotlib', 'pyarrow', 'msgspec', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
    assert "analyze" in result.stdout


def test_version():
    assert in_a_process("--version").stdout == f"idlescope {__version__}\n"


class TestRun:
    def test_weights_that_are_missing_leave_no_folder_behind(self, tmp_path):
        pytest.importorskip("torch")
        checkpoints.write(tmp_path / "model")
        (tmp_path / "model" / "model.safetensors").unlink()
        options = ("--device", "cpu", "--model", "./model", "--tokens", "5", "--out", "out")
        refused(
            idlescope("run", *options, cwd=tmp_path),
            "model has no weights: it needs model.safetensors",
        )
        assert not (tmp_path / "out").exists()

    def test_a_checkpoint_runs_on_the_cpu_and_is_reported_under_its_name(self, tmp_path):
        pytest.importorskip("torch")
        checkpoints.write(tmp_path / "my model", "qwen3")
        result = idlescope(
            "run", "--device", "cpu", "--model", "./my model", "--tokens", "5", cwd=tmp_path
        )
        assert result.returncode == 0, result.stderr
        assert "CPU worker process" in result.stdout
        assert [p.name for p in (tmp_path / "reports").iterdir()] == ["my-model-cpu-b32-t5"]

    def test_a_run_leaves_everything_and_never_overwrites(self, tmp_path):
        first = idlescope(*SMALL, cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        out = tmp_path / "reports" / "tiny-modelled-a100-b4-t30"
        assert {p.name for p in out.iterdir()} == {
            "report.html", "summary.json", "figures", "sync.recording", "async.recording", "sync.trace.json.gz",
            "async.trace.json.gz",
        }  # fmt: skip
        assert {p.name for p in (out / "figures").iterdir()} == {
            f"{name}.{suffix}"
            for name in ("timeline", "causes", "idle", "gaps", "cost")
            for suffix in ("png", "svg")
        }
        assert "modelled, not measured" in first.stdout
        assert "reports/tiny-modelled-a100-b4-t30/report.html" in first.stdout
        before = (out / "summary.json").read_bytes()
        again = idlescope(*SMALL, cwd=tmp_path)
        assert "reports/tiny-modelled-a100-b4-t30-2/report.html" in again.stdout
        assert (out / "summary.json").read_bytes() == before

    def test_a_folder_that_is_taken_is_refused_unless_forced(self, tmp_path):
        (tmp_path / "mine.txt").write_text("keep me")
        refused(idlescope(*SMALL, "--out", tmp_path), "already holds files", "--force")
        assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
        assert idlescope(*SMALL, "--out", tmp_path, "--force").returncode == 0
        assert (tmp_path / "mine.txt").read_text() == "keep me"

    def test_json_is_the_summary_and_nothing_else(self, tmp_path):
        result = idlescope(*SMALL, "--json", "--out", tmp_path / "o")
        assert json.loads(result.stdout) == json.loads(
            (tmp_path / "o" / "summary.json").read_text()
        )
        summary = json.loads(result.stdout)
        assert set(summary["modes"]) == {"sync", "async"}
        for mode in summary["modes"].values():
            assert sum(mode["cause_ns"].values()) == mode["idle_ns"]
            assert sum(mode["host_ns"].values()) == mode["cause_ns"]["host"]
        assert set(summary["predicted"]) >= {"total_s", "low_s", "high_s"}

    def test_auto_says_what_it_took(self, tmp_path):
        result = idlescope(
            "run", "--model", "tiny", "--tokens", "3", "--out", tmp_path / "o"
        )
        assert (
            result.stdout.count(
                "using a modelled NVIDIA H200 SXM; its times are not measured"
            )
            == 1
        )

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            (
                ["--device", "cuda"],
                "torch sees no CUDA device: use --device cpu or --device modelled",
            ),
            (["--device", "cpu", "--model", "70b"], "this machine has"),
            (
                ["--device", "cpu", "--model", "tiny", "--device-ms", "2"],
                "--device-ms is for a modelled GPU",
            ),
            (
                ["--device", "cpu", "--sync-check", "warn"],
                "--sync-check watches a CUDA device",
            ),
            (["--device", "modelled:x"], "no GPU is known as 'x'"),
            (["--model", "x"], "no model is known as 'x'"),
            (["--tokens", "0"], "--tokens is 0"),
            (["--kv-blocks", "2"], "--kv-blocks 2 hold 32 tokens and a request needs 1256"),
            (
                ["--kv-blocks", "8", "--tokens", "lognormal:512,0.5"],
                "--kv-blocks 8 hold 128 tokens and a request",
            ),
            (
                ["--tokens", "few"],
                "--tokens is 'few': give a number, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA",
            ),
            (["--arrival", "poisson"], "--arrival is 'poisson'"),
            (
                ["--workload", "none.jsonl"],
                "none.jsonl cannot be read: No such file or directory",
            ),
            (["--sync-check", "x"], "no sync check is called 'x'"),
        ],
    )
    def test_what_cannot_be_run_is_one_sentence_and_makes_no_folder(
        self, tmp_path, options, reason
    ):
        arguments = ["run", "--device", "modelled", *options]
        refused(idlescope(*arguments, cwd=tmp_path), reason)
        assert not list(tmp_path.iterdir())

    def test_a_bad_workload_file_makes_no_folder(self, tmp_path):
        (tmp_path / "w.jsonl").write_text(
            '{"prompt_len": 5, "output_len": 5}\n{"prompt_len": 5}\n'
        )
        refused(
            idlescope(*SMALL[:3], "--workload", "w.jsonl", cwd=tmp_path),
            "w.jsonl, line 2 has no",
        )
        assert os.listdir(tmp_path) == ["w.jsonl"]

    def test_a_workload_file_that_arrives_is_served(self, tmp_path):
        lines = [
            {"prompt_tokens": 20, "output_tokens": n, "arrival_s": n / 10}
            for n in range(1, 9)
        ]
        (tmp_path / "w.jsonl").write_text("\n".join(map(json.dumps, lines)))
        options = ["--workload", "w.jsonl", "--requests", "6", "--no-graphs", "--json"]
        result = idlescope(*SMALL[:3], "--device", "modelled", *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        summary = json.loads(result.stdout)
        assert summary["config"]["graphs"] is False
        for mode in summary["modes"].values():
            assert (mode["requests"], mode["tokens"]) == (6, 21)
            assert mode["ttft_ms"]["p99"] < 100
        assert (tmp_path / "reports" / "tiny-modelled-b32-w" / "report.html").exists()

    def test_distributions_and_arrivals_are_options(self, tmp_path):
        options = [
            "--tokens",
            "uniform:2,9",
            "--prompt-tokens",
            "lognormal:30,0.5",
            "--arrival",
            "burst:4,0.1",
        ]
        result = idlescope(
            *SMALL[:3], *options, "--requests", "12", "--out", tmp_path / "o"
        )
        assert result.returncode == 0, result.stderr
        assert "TTFT p50/p90/p99" in result.stdout
        assert "time per output token p50/p90/p99" in " ".join(
            result.stdout.replace("│", " ").split()
        )

    def test_the_bar_ends_where_the_tokens_end(self, tmp_path, monkeypatch):
        from idlescope.cli.actions import run as command
        from idlescope.cli.options import Output
        from idlescope.experiment.config import RunConfig

        totals, live = [], command.live

        def watched(console, modes, tokens):
            totals.append(tokens)
            return live(console, modes, tokens)

        monkeypatch.setattr(command, "live", watched)
        config = RunConfig(
            model="tiny", tokens="uniform:1,40", requests=30, device="modelled"
        )
        command.run_command(config, Output(tmp_path / "o", force=False, as_json=False))
        summary = json.loads((tmp_path / "o" / "summary.json").read_text())
        assert [mode["tokens"] for mode in summary["modes"].values()] == totals * 2

    def test_ctrl_c_stops_cleanly_and_keeps_what_it_has(self, tmp_path):
        command = [
            sys.executable,
            "-m",
            "idlescope",
            "run",
            "--model",
            "8b",
            "--tokens",
            "100000",
            "--out",
            "o",
        ]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        assert "Stopped early" in stdout
        assert (
            json.loads((tmp_path / "o" / "summary.json").read_text())["modes"]["sync"][
                "interrupted"
            ]
            is True
        )


class TestAnalyze:
    def test_the_table_says_how_idle_and_why(self, trace):
        result = idlescope("analyze", trace)
        assert result.returncode == 0, result.stderr
        assert "45 µs (75.00 %)" in result.stdout  # idle
        assert "host" in result.stdout
        assert "30 µs (66.7 %)" in result.stdout

    def test_json_follows_the_schema(self, trace):
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

    def test_the_report_escapes_what_the_trace_says(self, trace, tmp_path):
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

    def test_a_run_can_be_analysed_again(self, tmp_path):
        idlescope(*SMALL, "--out", tmp_path / "o")
        devices = [
            json.loads(idlescope("analyze", tmp_path / "o" / name, "--json").stdout)[
                "devices"
            ][0]
            for name in ("async.recording", "async.trace.json.gz")
        ]
        summary = json.loads((tmp_path / "o" / "summary.json").read_text())["modes"][
            "async"
        ]
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
    def test_bad_input_is_one_sentence(self, tmp_path, make, reason):
        make(tmp_path / "t.json")
        refused(idlescope("analyze", tmp_path / "t.json"), reason, "t.json")

    def test_the_trace_is_not_touched(self, trace):
        before = (trace.read_bytes(), trace.stat().st_mtime_ns)
        idlescope("analyze", trace)
        assert (trace.read_bytes(), trace.stat().st_mtime_ns) == before


class TestAnalyzeOptions:
    """What of a trace is looked at."""

    @pytest.fixture
    def steps(self):
        return FIXTURES / "transformers_sync.json.gz"

    def test_the_verdict_names_the_batching_and_what_the_host_was_in(self, steps):
        result = idlescope("analyze", steps)
        assert result.returncode == 0, result.stderr
        text = " ".join(result.stdout.split())
        assert "spans of transformers" in text
        assert "6 (by transformers spans)" in text
        where = "cudaStreamSynchronize in cb:retrieve_device_outputs"
        assert (
            f"batching is synchronous, the host waits for each step's tokens in {where}"
            in text
        )
        assert (
            "Asynchronous batching (transformers: use_async_batching=True) would make it"
            in text
        )
        assert "prepare (cb:prepare_batch_tensors)" in text
        assert "Longest gaps, 0 NVIDIA H200" in text
        assert "cb:compute_batch › cudaGraphLaunch" in text
        assert "window, first to last operation" in text

    def test_a_window_is_stated_with_the_figures(self, steps):
        result = idlescope(
            "analyze", steps, "--window", "steps:1-3", "--min-gap", "10us", "--device", "0"
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

    def test_steps_and_streams_are_listed(self):
        result = idlescope("analyze", FIXTURES / "loop_async.json.gz", "--steps")
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

    def test_without_frames_only_the_division_of_host_differs(self, steps):
        whole, bare = (
            json.loads(idlescope("analyze", steps, "--json", *options).stdout)
            for options in ((), ("--no-frames",))
        )
        for figure in ("active_ns", "idle_ns", "cause_ns", "gaps", "streams"):
            assert whole["devices"][0][figure] == bare["devices"][0][figure]

    def test_engines_from_a_file(self, steps, tmp_path):
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
    def test_what_is_not_there_is_one_sentence(self, steps, options, reason):
        refused(idlescope("analyze", steps, *options), reason)

    def test_doubtful_figures_are_marked(self, tmp_path):
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

    def test_a_host_only_trace_says_what_to_do(self):
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


class TestConvertAndScrub:
    def test_there_and_back(self, trace, tmp_path):
        for source, target in (
            (trace, "a.sqlite"),
            ("a.sqlite", "b.recording"),
            ("b.recording", "c.json.gz"),
        ):
            result = idlescope("convert", source, target, cwd=tmp_path)
            assert result.returncode == 0, result.stderr
            assert target in result.stdout
        first, last = (
            json.loads(idlescope("analyze", path, "--json", cwd=tmp_path).stdout)[
                "devices"
            ][0]
            for path in (trace, "c.json.gz")
        )
        assert first["cause_ns"] == last["cause_ns"]
        refused(idlescope("convert", trace, "c.json.gz", cwd=tmp_path), "is there already")
        refused(idlescope("convert", trace, "c.xml", cwd=tmp_path), "names no format")
        refused(idlescope("convert", trace, trace, "--force"), "is the trace itself")

    def test_a_scrubbed_copy_says_what_was_removed(self, trace, tmp_path):
        result = idlescope("scrub", trace, tmp_path / "clean.json")
        assert result.returncode == 0, result.stderr
        assert "clean.json" in result.stdout
        before, after = (
            json.loads(idlescope("analyze", path, "--json").stdout)["devices"]
            for path in (trace, tmp_path / "clean.json")
        )
        for device in (*before, *after):
            del device["longest_gaps"]  # a name in them looks like a path, and is cut
        assert before == after
        refused(idlescope("scrub", trace, tmp_path / "clean.json"), "is there already")


class TestTerminals:
    def test_one_that_knows_only_ascii_is_written_to(self, trace):
        environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "idlescope", "analyze", str(trace)]
        result = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")

    def test_the_trace_is_not_overwritten_with_its_report(self, trace):
        before = trace.read_bytes()
        refused(
            idlescope("analyze", trace, "--out", trace.parent, "--force"), "never changed"
        )
        assert (trace.read_bytes(), os.listdir(trace.parent)) == (before, [trace.name])

    def test_what_the_system_refuses_is_one_sentence(self, trace, tmp_path):
        (tmp_path / "o" / "analysis.json").mkdir(parents=True)
        refused(
            idlescope("analyze", trace, "--out", tmp_path / "o", "--force"),
            "analysis.json: Is a directory",
        )


def test_predict_prints_a_table_and_a_sentence_and_the_same_as_json():
    sync = FIXTURES / "transformers_sync.json.gz"
    shown = idlescope("predict", sync)
    assert shown.returncode == 0
    for part in (
        "6 steps (transformers spans)",
        "recorded, synchronous",
        "│ asynchronous ",
        "17.61 ms",
        "20.9 % less",
    ):
        assert part in shown.stdout
    assert "tokens/s" not in shown.stdout  # the trace does not say how many there were
    result = idlescope(
        "predict",
        sync,
        "--device",
        "0.7",
        "--host",
        "0.5",
        "--depth",
        "3",
        "--without",
        "prepare",
        "--json",
    )
    made = json.loads(result.stdout)
    (device,) = made["devices"]
    assert (made["schema"], made["cannot_tell"], device["recorded_depth"]) == (1, [], 1)
    assert device["what"] == "3 in flight, host × 0.5, device × 0.7, no prepare"
    assert device["predicted"]["step_ms"] == pytest.approx(0.7 * 13.93, rel=0.01)
    assert (
        device["host_free"]["total_s"]
        <= device["predicted"]["total_s"]
        < device["recorded"]["total_s"]
    )
    assert {lever["name"] for lever in device["levers"]} >= {
        "host twice as fast",
        "GPU twice as fast",
        "4 in flight",
    }


def test_predict_works_on_recordings_and_their_perfetto_traces_alike(tmp_path):
    assert (
        idlescope(
            *SMALL, "--host-ms", "1", "--device-ms", "2", "--out", tmp_path / "r"
        ).returncode
        == 0
    )
    by_recording, by_trace = (
        json.loads(idlescope("predict", tmp_path / "r" / name, "--json").stdout)["devices"][
            0
        ]
        for name in ("sync.recording", "sync.trace.json.gz")
    )
    assert by_recording["predicted"] == by_trace["predicted"]
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert by_recording["predicted"] == summary["predicted"]
    assert by_recording["predicted"]["total_s"] == pytest.approx(
        summary["modes"]["async"]["total_s"], rel=1e-3
    )


def test_predict_refuses_in_a_sentence(trace):
    refused(idlescope("predict", trace), "cannot tell what device 0 would do: ")
    refused(
        idlescope("predict", FIXTURES / "loop_sync.json.gz", "--without", "tea"),
        "is called 'tea': it has ",
    )
    refused(
        idlescope("predict", FIXTURES / "loop_sync.json.gz", "--depth", "0"), "--depth is 0"
    )
    refused(
        idlescope("predict", FIXTURES / "cpu_engine.json.gz"), "holds no device operations"
    )


def test_analyze_says_what_asynchronous_batching_would_give_and_how_far_the_roofline_is():
    options = ("--model", "8b", "--batch-size", "32", "--context", "512")
    shown = idlescope("analyze", FIXTURES / "transformers_sync.json.gz", *options)
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
