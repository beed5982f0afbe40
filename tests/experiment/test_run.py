"""Whole runs: the published experiment, reproducibility, and what a run says."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.errors import ConfigError
from idlescope.experiment.device_choice.cuda import CudaChoice
from idlescope.experiment.run_modes import warm_up_demand
from idlescope.report import run_report

PUBLISHED = {
    "tokens": 8192,
    "batch_size": 32,
    "host_ms": 8.81,
    "device_ms": 27.89,
    "device": "modelled",
}


@pytest.fixture(scope="module")
def published():
    return run(RunConfig(**PUBLISHED)).summary()


def test_the_published_run_is_reproduced(published):
    # Hugging Face, 8B, batch 32, 8K tokens on an H200: 300.6 s at 76.0 % and 234.5 s at 99.4 %
    # active; bound 228 s
    sync, asynchronous = published["modes"]["sync"], published["modes"]["async"]
    assert sync["total_s"] == pytest.approx(300.6, rel=0.005)
    assert sync["active_pct"] == pytest.approx(76.0, abs=0.2)
    assert 228.5 <= asynchronous["total_s"] <= 234.5
    assert asynchronous["active_pct"] >= 99.4
    assert published["speedup"] == pytest.approx(sync["total_s"] / asynchronous["total_s"])
    assert "1.316 times faster" in published["verdict"]
    assert published["device"] == {
        "kind": "modelled",
        "name": "modelled NVIDIA H200 SXM",
        "measured": False,
    }


def test_a_deterministic_run_writes_the_same_files_twice(tmp_path):
    config = RunConfig(model="tiny", tokens=60, batch_size=4, requests=9, host_ms=0.3, device_ms=1.0, device="modelled",
                       kv_blocks=60, stop_at_eos=True)  # fmt: skip
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run_report.write_run(run(config), tmp_path / name)
    files = sorted(
        p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()
    )
    assert len(files) >= 20
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (
            tmp_path / "b" / file
        ).read_bytes(), file


def test_a_measured_host_is_charged_to_its_phases():
    result = run(RunConfig(model="1b", tokens=50, batch_size=8, device="modelled:h100"))
    sync = result.modes["sync"].result
    assert {"schedule", "prepare", "update"} <= set(sync.host_ns)
    assert sum(sync.host_ns.values()) == sync.gaps.totals()["host"]
    assert sync.steps.early.sum() == 0
    # the host's time is measured: another program on the machine can hold up a step
    assert result.modes["async"].result.steps.early[1:].mean() > 0.8


@cache
def verdict(host_ms, device_ms):
    config = RunConfig(
        model="tiny",
        tokens=60,
        prompt_tokens=1,
        host_ms=host_ms,
        device_ms=device_ms,
        device="modelled",
    )
    return run(config).verdict()


@pytest.mark.parametrize(
    ("host_ms", "device_ms", "said"),
    [
        (0.0, 20.0, "changes little"),
        (0.0, 20.0, "the GPU hardly waited for the host."),
        (20.0, 0.05, "changes little"),
        (20.0, 0.05, "the host needs longer for a step than the GPU."),
        (9.0, 3.0, "the host still needs longer for a step than the GPU."),
        (3.0, 9.0, "times faster"),
    ],
)
def test_the_verdict_tells_a_busy_gpu_from_a_slow_host(host_ms, device_ms, said):
    assert said in verdict(host_ms, device_ms)


def test_both_modes_do_the_same_work():
    result = run(
        RunConfig(
            model="tiny",
            tokens=50,
            batch_size=8,
            requests=20,
            device="modelled",
            host_ms=1,
            device_ms=1,
        )
    )
    sync, asynchronous = (
        sorted(m.finished, key=lambda r: r.id) for m in result.modes.values()
    )
    assert [r.output for r in sync] == [r.output for r in asynchronous]
    assert {m.tokens for m in result.modes.values()} == {20 * 50}


def test_one_mode_alone_has_no_speedup():
    result = run(RunConfig(model="tiny", tokens=5, mode="async", device="modelled"))
    summary = result.summary()
    assert list(summary["modes"]) == ["async"]
    assert summary["speedup"] is None
    assert summary["verdict"].startswith("Asynchronous batching took")


def test_a_model_that_does_not_fit_is_said_to_be_modelled_as_if():
    result = run(RunConfig(model="70b", tokens=5, device="modelled:h200"))
    assert any("modelled as if it all fitted" in note for note in result.notes)


def test_ctrl_c_keeps_what_was_recorded(undrawn, tmp_path):
    def stop(mode, engine):
        if mode == "sync" and engine.steps == 20:
            raise KeyboardInterrupt

    result = run(RunConfig(model="tiny", tokens=500, device="modelled"), stop)
    assert result.interrupted
    assert list(result.modes) == ["sync"]
    assert len(result.modes["sync"].result.steps) == 20
    assert result.summary()["verdict"].startswith("Stopped early")
    run_report.write_run(result, tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["modes"]["sync"][
        "interrupted"
    ]


def test_ctrl_c_before_anything_was_recorded_is_an_interrupt():
    def stop(mode, engine):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            RunConfig(
                model="tiny", tokens=500, prompt_tokens=1, device="modelled", mode="async"
            ),
            stop,
        )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "9b"}, "no model is known as '9b'"),
        ({"mode": "fast"}, "no mode is called 'fast'"),
        ({"tokens": 0}, "--tokens is 0"),
        ({"host_ms": -1.0}, "--host-ms is -1.0"),
        ({"device_ms": float("nan")}, "--device-ms is nan"),
        ({"max_batch_tokens": 8}, "--max-batch-tokens 8 is less than --batch-size 32"),
        ({"model": "tiny", "tokens": 20_000}, "exceed the 16384 positions"),
        ({"seed": -1}, "--seed is -1"),
        ({"tokens": "many"}, "--tokens is 'many'"),
        ({"prompt_tokens": "uniform:9,5"}, "--prompt-tokens is uniform:9,5"),
        (
            {"model": "tiny", "tokens": 400, "prompt_tokens": "uniform:16000,17000"},
            "exceed the 16384 positions",
        ),
        ({"arrival": "poisson:0"}, "--arrival is poisson:0"),
        (
            {"workload": "w.jsonl", "tokens": 5},
            "--workload says how long requests are: leave --tokens out",
        ),
        ({"workload": "w.jsonl", "prompt_tokens": 5}, "leave --prompt-tokens out"),
        (
            {"dtype": "int8"},
            "no dtype is called 'int8': choose one of auto, bfloat16, float16, float32",
        ),
        ({"warmup": -1}, "--warmup is -1"),
        ({"temperature": -0.1}, "--temperature is -0.1: give a number from 0 to 100"),
        ({"top_k": -1}, "--top-k is -1"),
        ({"top_p": 0.0}, "--top-p is 0.0: give a probability"),
        ({"top_p": 1.5}, "--top-p is 1.5"),
        (
            {"sync_check": "maybe"},
            "no sync check is called 'maybe': choose one of off, warn, error",
        ),
    ],
)
def test_options_that_cannot_be_run_are_one_sentence(options, reason):
    with pytest.raises(ConfigError) as error:
        RunConfig(**options)
    assert reason in str(error.value)


@pytest.mark.parametrize("device", ["cuda", "tpu", "modelled:h900", "auto:h200"])
def test_devices_that_cannot_be_driven_are_one_sentence(device):
    with pytest.raises(ConfigError):
        run(RunConfig(model="tiny", tokens=1, device=device))


def test_the_cpu_is_a_measured_device(undrawn, tmp_path):
    pytest.importorskip("torch")
    result = run(
        RunConfig(
            model="tiny",
            device="cpu",
            tokens=30,
            batch_size=4,
            requests=6,
            kv_blocks=80,
            warmup=2,
        )
    )
    summary = result.summary()
    assert summary["device"]["kind"] == "cpu"
    assert summary["device"]["measured"]
    assert summary["environment"]["torch"]
    assert (
        summary["modes"]["sync"]["tokens"] == summary["modes"]["async"]["tokens"] == 6 * 30
    )
    for mode in result.modes.values():
        assert {"schedule", "prepare", "submit", "retrieve", "update"} <= set(
            mode.trace.names
        )
        assert mode.summary(None).roofline_pct is None
        assert mode.trace.operations.start.min() >= 0  # warm-up is not in it
    run_report.write_run(result, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "host time measured, device time measured" in page
    assert "modelled" not in page


def test_what_warms_up_is_as_long_as_the_first_batch():
    config = RunConfig(
        model="tiny",
        tokens="uniform:2,40",
        prompt_tokens="uniform:3,90",
        batch_size=4,
        requests=20,
    )
    first, asked = warm_up_demand(config), config.demand
    assert first.prompt_tokens.tolist() == asked.prompt_tokens[:4].tolist()
    assert first.output_tokens.tolist() == [
        min(n, 8) for n in asked.output_tokens[:4].tolist()
    ]
    assert not first.arrival_ns.any()


def test_a_torch_that_is_too_old_for_cuda_is_one_sentence(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "idlescope.engine.devices.cuda", None)
    with pytest.raises(
        ConfigError, match=r"--device cuda needs torch 2\.11 or later and triton: "
    ):
        CudaChoice().make(RunConfig(model="tiny"))


def test_what_a_device_does_not_have_is_one_sentence():
    for device, options, said in (
        ("cpu", {"device_ms": 2.0}, "--device-ms is for a modelled GPU"),
        (
            "cpu",
            {"sync_check": "warn"},
            "--sync-check watches a CUDA device and this run is on cpu",
        ),
        (
            "modelled",
            {"sync_check": "warn"},
            "--sync-check watches a CUDA device and this run is on modelled",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            run(RunConfig(model="tiny", tokens=1, device=device, **options))


def test_the_command_line_of_a_run_repeats_it():
    config = RunConfig(model="1b", tokens=7, host_ms=1.5, stop_at_eos=True)
    assert (
        run_report.command(config)
        == "idlescope run --model 1b --tokens 7 --host-ms 1.5 --stop-at-eos"
    )


def test_the_command_line_of_a_run_names_switches_and_distributions():
    config = RunConfig(
        model="1b", tokens="lognormal:50,1", graphs=False, arrival="poisson:2"
    )
    expected = (
        "idlescope run --model 1b --tokens lognormal:50,1 --arrival poisson:2 --no-graphs"
    )
    assert run_report.command(config) == expected
    assert run_report.run_name(config) == "1b-h200-b32-tlognormal-50-1"
    assert run_report.run_name(RunConfig(workload="data/chat.jsonl")) == "8b-h200-b32-chat"


def test_arrays_are_as_long_as_the_longest_request():
    config = RunConfig(
        model="tiny",
        tokens="uniform:5,60",
        prompt_tokens="uniform:1,200",
        requests=50,
        batch_size=8,
    )
    demand = config.demand
    assert (
        config.shape(9).length
        == config.length
        == (demand.prompt_tokens + demand.output_tokens).max()
    )
    assert (config.request_count, config.rows) == (50, 8)


def test_options_of_real_devices_change_nothing_on_a_modelled_one():
    plain = {
        "model": "tiny",
        "tokens": 20,
        "batch_size": 2,
        "device": "modelled",
        "host_ms": 1,
        "device_ms": 1,
    }
    real = {"dtype": "float16", "graphs": False, "warmup": 3, "temperature": 0.7, "top_k": 5, "top_p": 0.9}  # fmt: skip
    assert (
        run(RunConfig(**plain, **real)).summary()["modes"]
        == run(RunConfig(**plain)).summary()["modes"]
    )


SERVED = {"model": "1b", "device": "modelled", "requests": 40, "batch_size": 8, "prompt_tokens": "lognormal:50,1",
          "tokens": "uniform:1,30", "host_ms": 2, "kv_blocks": 70}  # fmt: skip


@pytest.fixture(scope="module")
def served():
    return run(RunConfig(**SERVED, arrival="poisson:20"))


class TestArrivals:
    def test_both_modes_serve_the_same_requests_when_they_come(self, served):
        demand = served.config.demand
        for mode in served.modes.values():
            done = sorted(mode.finished, key=lambda r: r.id)
            assert [len(r.output) for r in done] == demand.output_tokens.tolist()
            assert [r.arrival_ns for r in done] == demand.arrival_ns.tolist()
            assert all(r.arrival_ns < r.first_token_ns <= r.finished_ns for r in done)
        sync, asynchronous = (
            sorted(m.finished, key=lambda r: r.id) for m in served.modes.values()
        )
        assert [r.output for r in sync] == [r.output for r in asynchronous]

    def test_waiting_for_requests_is_no_demand_and_nothing_is_predicted(self, served):
        for mode in served.modes.values():
            assert mode.result.host_ns["no demand"] > 0
            assert sum(mode.result.host_ns.values()) == mode.result.gaps.totals()["host"]
        assert served.summary()["predicted"] is None

    def test_the_verdict_does_not_blame_the_host_for_missing_requests(self):
        result = run(RunConfig(**SERVED, arrival="burst:1,1"))
        sentence = result.statements.this_engine
        assert "the host" not in sentence
        assert "no request was there for" in sentence

    def test_figures_reach_the_table_and_the_report(self, served, undrawn, tmp_path):
        run_report.write_run(served, tmp_path)
        page = (tmp_path / "report.html").read_text()
        assert "TTFT p50/p90/p99" in page
        assert "Time to first token" in page
        assert (
            "40 requests of lognormal:50,1 + uniform:1,30 tokens, arriving poisson:20, batch 8"
            in page
        )
        summary = json.loads((tmp_path / "summary.json").read_text())
        for mode in summary["modes"].values():
            for figure in ("ttft_ms", "time_per_output_token_ms", "latency_ms"):
                assert list(mode[figure]) == ["mean", "p50", "p90", "p99"]


def test_a_workload_file_is_read_once_and_its_notes_are_said(tmp_path):
    path = tmp_path / "chat.json"
    turns = [{"from": "human", "value": "x" * 40}, {"from": "gpt", "value": "y" * 20}]
    path.write_text(json.dumps([{"conversations": turns}] * 3))
    config = RunConfig(model="tiny", device="modelled", workload=str(path))
    result = run(config)
    path.unlink()
    assert [m.tokens for m in result.modes.values()] == [15, 15]
    assert any("4 characters a token" in note for note in result.summary()["warnings"])
    assert result.summary()["config"]["workload"] == str(path)


def test_the_public_names_are_there():
    for name in idlescope.__all__:
        assert getattr(idlescope, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = idlescope.nothing


def test_the_committed_example_is_what_the_tool_computes(published):
    example = Path(__file__).parents[2] / "reports" / "example"
    committed = json.loads((example / "summary.json").read_text())
    assert committed["modes"] == published["modes"]
    assert (committed["speedup"], committed["predicted"]) == (
        published["speedup"],
        published["predicted"],
    )
    assert {"report.html", "sync.trace.json.gz", "async.trace.json.gz"} <= {
        p.name for p in example.iterdir()
    }
