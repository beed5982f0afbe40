"""`idlescope run`: what it leaves behind, what it refuses, and how it is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tests.make import checkpoints
from tests.make.commands import ROOT, SMALL, idlescope, refused
from tests.make.ending_signals import ENDING, obeying
from tests.make.undrawn import UNDRAWN, figures_undrawn


def test_weights_that_are_missing_leave_no_folder_behind(tmp_path):
    pytest.importorskip("torch")
    checkpoints.write(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    options = ("--device", "cpu", "--model", "./model", "--tokens", "5", "--out", "out")
    refused(
        idlescope("run", *options, cwd=tmp_path),
        "model has no weights: it needs model.safetensors",
    )
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_runs_on_the_cpu_and_is_reported_under_its_name(undrawn, tmp_path):
    pytest.importorskip("torch")
    checkpoints.write(tmp_path / "my model", "qwen3")
    result = idlescope(
        "run", "--device", "cpu", "--model", "./my model", "--tokens", "5", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "CPU worker process" in result.stdout
    assert [p.name for p in (tmp_path / "reports").iterdir()] == ["my-model-cpu-b32-t5"]


def test_a_run_leaves_everything_and_never_overwrites(tmp_path):
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
    with figures_undrawn():
        again = idlescope(*SMALL, cwd=tmp_path)
    assert "reports/tiny-modelled-a100-b4-t30-2/report.html" in again.stdout
    assert (out / "summary.json").read_bytes() == before


def test_a_folder_that_is_taken_is_refused_unless_forced(undrawn, tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    refused(idlescope(*SMALL, "--out", tmp_path), "already holds files", "--force")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert idlescope(*SMALL, "--out", tmp_path, "--force").returncode == 0
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_json_is_the_summary_and_nothing_else(undrawn, tmp_path):
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


def test_auto_says_what_it_took(undrawn, tmp_path):
    result = idlescope("run", "--model", "tiny", "--tokens", "3", "--out", tmp_path / "o")
    assert (
        result.stdout.count("using a modelled NVIDIA H200 SXM; its times are not measured")
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
def test_what_cannot_be_run_is_one_sentence_and_makes_no_folder(tmp_path, options, reason):
    arguments = ["run", "--device", "modelled", *options]
    refused(idlescope(*arguments, cwd=tmp_path), reason)
    assert not list(tmp_path.iterdir())


def test_a_bad_workload_file_makes_no_folder(tmp_path):
    (tmp_path / "w.jsonl").write_text(
        '{"prompt_len": 5, "output_len": 5}\n{"prompt_len": 5}\n'
    )
    refused(
        idlescope(*SMALL[:3], "--workload", "w.jsonl", cwd=tmp_path),
        "w.jsonl, line 2 has no",
    )
    assert os.listdir(tmp_path) == ["w.jsonl"]


def test_a_workload_file_that_arrives_is_served(undrawn, tmp_path):
    lines = [
        {"prompt_tokens": 20, "output_tokens": n, "arrival_s": n / 10} for n in range(1, 9)
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


def test_distributions_and_arrivals_are_options(tmp_path):
    options = [
        "--tokens",
        "uniform:2,9",
        "--prompt-tokens",
        "lognormal:30,0.5",
        "--arrival",
        "burst:4,0.1",
    ]
    result = idlescope(*SMALL[:3], *options, "--requests", "12", "--out", tmp_path / "o")
    assert result.returncode == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "TTFT" in words  # one figure: the four of a burst wait for the same prompts
    assert "latency p50/p99" in words
    assert "total time" not in words  # the last arrival says how long it takes


def test_the_bar_ends_where_the_tokens_end(undrawn, tmp_path, monkeypatch):
    from idlescope.cli.actions import run as command
    from idlescope.cli.options import Output
    from idlescope.experiment.config import RunConfig

    totals, live = [], command.live

    def watched(console, modes, tokens):
        totals.append(tokens)
        return live(console, modes, tokens)

    monkeypatch.setattr(command, "live", watched)
    config = RunConfig(model="tiny", tokens="uniform:1,40", requests=30, device="modelled")
    command.run_command(config, Output(tmp_path / "o", force=False, as_json=False))
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert [mode["tokens"] for mode in summary["modes"].values()] == totals * 2


@ENDING
def test_what_ends_it_stops_it_cleanly_and_what_there_is_is_kept(tmp_path, number):
    words = ("run", "--model", "8b", "--tokens", "100000", "--out", "o")
    process = subprocess.Popen(
        [sys.executable, "-c", UNDRAWN, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=obeying(number),  # noqa: PLW1509
    )
    while not list(tmp_path.iterdir()):  # the folder that is being made: the run begins
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.7)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "Stopped early" in stdout
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert summary["modes"]["sync"]["interrupted"] is True
