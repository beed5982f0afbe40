"""transformers' continuous batching as an engine: the same tokens, and errors in a sentence."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.17")
from idlescope import RunConfig, run
from idlescope.capture.step_clock import StepClock
from idlescope.capture.transformers.hook import Hook
from idlescope.capture.transformers.methods import PHASES
from idlescope.capture.transformers.network import load
from idlescope.capture.transformers.serve import Settings, serve
from idlescope.cli import main
from idlescope.engine.clock import SystemClock
from idlescope.engine.requests import Finish, Request
from idlescope.errors import ConfigError, EngineError
from idlescope.models import hugging_face
from idlescope.models.presets import model
from idlescope.report import run_report
from tests.make import checkpoints

THEIRS = {"engine": "transformers", "device": "cpu", "mode": "sync", "warmup": 0}


OURS = {**THEIRS, "engine": "idlescope"}


SETTINGS = Settings(False, 2, 64, True, 6)


def outputs(result):
    return {r.id: r.output for r in result.modes["sync"].finished}


def requests_of(count, tokens=5):
    return [Request(i, np.arange(4, dtype=np.int32) + i, tokens) for i in range(count)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(checkpoints.write(tmp_path_factory.mktemp("llama"), initializer_range=0.1))


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_tokens_equal_those_of_our_engine(tmp_path, family):
    """Prompts and outputs of mixed length, more requests than rows, a checkpoint of each family."""
    where = checkpoints.write(tmp_path, family=family, initializer_range=0.1)
    work = {
        "model": str(where),
        "tokens": "uniform:5,20",
        "prompt_tokens": "uniform:3,60",
        "batch_size": 4,
        "requests": 9,
    }
    theirs, ours = run(RunConfig(**THEIRS, **work)), run(RunConfig(**OURS, **work))
    assert len(outputs(theirs)) == 9
    assert outputs(theirs) == outputs(ours)
    assert theirs.modes["sync"].tokens == ours.modes["sync"].tokens


def test_on_a_cpu_all_idle_is_host_work_and_no_asynchrony_is_predicted(checkpoint):
    result = run(
        RunConfig(**THEIRS, model=checkpoint, tokens=10, prompt_tokens=20, batch_size=4)
    )
    figures, summary = result.modes["sync"].result, result.summary()
    assert figures.gaps.totals()["host"] == figures.occupancy.idle_ns > 0
    assert summary["predicted"] is None
    assert summary["environment"]["transformers"] == transformers.__version__
    assert (
        0
        < summary["modes"]["sync"]["ttft_ms"]["p50"]
        < summary["modes"]["sync"]["latency_ms"]["p50"]
    )


def test_a_stop_token_ends_a_request(tmp_path, checkpoint):
    where = tmp_path / "stops"
    shutil.copytree(checkpoint, where)
    work = {"tokens": 8, "prompt_tokens": 10, "batch_size": 3}
    free = outputs(run(RunConfig(**THEIRS, model=checkpoint, **work)))
    stop = free[0][4]
    (where / "generation_config.json").write_text(json.dumps({"eos_token_id": [stop]}))
    hugging_face.read.cache_clear()
    result = run(RunConfig(**THEIRS, model=str(where), **work, stop_at_eos=True))
    first = next(r for r in result.modes["sync"].finished if r.id == 0)
    assert first.output == free[0][: free[0].index(stop) + 1]
    assert first.finish is Finish.STOP
    assert outputs(run(RunConfig(**THEIRS, model=str(where), **work))) == free


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mode", "async"], "needs CUDA: use --mode sync"),
        (["--device", "modelled"], "--engine transformers runs on a real device"),
        (["--arrival", "poisson:5"], "--arrival is not for --engine transformers"),
        (["--kv-blocks", "100"], "--kv-blocks is not for --engine transformers"),
        (["--block-size", "8"], "--block-size is not for --engine transformers"),
        (["--host-ms", "1"], "--host-ms is not for --engine transformers"),
        (["--device-ms", "1"], "--device-ms is for a modelled GPU"),
        (["--sync-check", "warn"], "--sync-check is not for --engine transformers"),
        (["--temperature", "1"], "--temperature is not for --engine transformers"),
        (["--top-k", "5"], "--top-k is not for --engine transformers"),
        (["--top-p", "0.5"], "--top-p is not for --engine transformers"),
        (
            ["--engine", "vllm"],
            "no engine is called 'vllm': choose one of idlescope, transformers",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_in_a_sentence(
    tmp_path, monkeypatch, capsys, options, said
):
    arguments = ["--engine", "transformers", "--device", "cpu", "--model", "tiny", *options]
    monkeypatch.setattr(
        "sys.argv", ["idlescope", "run", *arguments, "--out", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in " ".join(error.split())
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_arrivals_of_a_workload_file_are_refused(tmp_path):
    file = tmp_path / "work.jsonl"
    file.write_text(
        "".join(
            json.dumps({"prompt_tokens": 4, "output_tokens": 2, "arrival_s": at}) + "\n"
            for at in (0, 1.5)
        )
    )
    with pytest.raises(ConfigError, match="all requests at the start"):
        run(RunConfig(**THEIRS, model="tiny", workload=str(file)))


def test_both_modes_on_a_cpu_are_the_synchronous_one_and_a_report_is_written(
    undrawn, tmp_path, checkpoint
):
    config = RunConfig(
        engine="transformers",
        device="cpu",
        model=checkpoint,
        tokens=5,
        prompt_tokens=5,
        batch_size=2,
    )
    result = run(config)
    assert list(result.modes) == ["sync"]
    assert not result.interrupted
    assert any("only synchronously" in note for note in result.notes)
    page = run_report.write_run(result, tmp_path)[0].read_text(encoding="utf-8")
    assert "--engine transformers" in page
    assert "in transformers" in page
    assert run_report.run_name(config).startswith("transformers-")


def test_a_failing_step_is_one_sentence(checkpoint, monkeypatch, capfd):
    network = load(model(checkpoint), "float32", "cpu", 0)
    forward, calls = network.forward, []

    def fail_later(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the weights are gone")
        return forward(*args, **kwargs)

    monkeypatch.setattr(network, "forward", fail_later)
    clock = SystemClock()
    hook = Hook(
        model(checkpoint), StepClock(clock.now, PHASES), clock, cuda=False, pipelined=False
    )
    with pytest.raises(
        EngineError, match="transformers' step 2 failed: the weights are gone"
    ):
        serve(network, requests_of(2), SETTINGS, hook)
    assert "Traceback" not in capfd.readouterr().err


def test_a_cache_that_does_not_fit_is_one_sentence(checkpoint):
    network = load(model(checkpoint), "float32", "cpu", 0)
    with pytest.raises(
        ConfigError, match=r"transformers cannot batch this: .*fewer --tokens"
    ):
        serve(network, requests_of(2), SETTINGS._replace(blocks=10**9))


def test_ctrl_c_keeps_what_there_is(checkpoint):
    def stop(mode, running):
        if running.tokens > 20:
            raise KeyboardInterrupt

    result = run(
        RunConfig(**THEIRS, model=checkpoint, tokens=1500, prompt_tokens=5, batch_size=2),
        stop,
    )
    sync = result.modes["sync"]
    assert result.interrupted
    assert 10 <= len(sync.result.steps) < 1500
    assert sync.tokens >= 20
    assert sync.total_ns == sync.trace.ranges.end[sync.trace.ranges.step >= 0].max()
    assert sync.finished == ()
    assert "Stopped early" in result.verdict()


def test_ctrl_c_while_it_warms_up_ends_the_run(checkpoint, monkeypatch):
    from idlescope.capture.transformers import serve as serving

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "_collect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(
            RunConfig(
                **{**THEIRS, "warmup": 3},
                model=checkpoint,
                tokens=5,
                prompt_tokens=5,
                batch_size=2,
            )
        )


def test_the_library_is_left_as_it_was(checkpoint):
    from transformers.generation.continuous_batching.continuous_api import (
        ContinuousBatchProcessor,
    )
    from transformers.utils import logging

    before = dict(vars(ContinuousBatchProcessor))
    levels = logging.get_verbosity(), logging.is_progress_bar_enabled()
    network = load(model(checkpoint), "float32", "cpu", 0)
    once, again = (serve(network, requests_of(3), SETTINGS).finished for _ in range(2))
    assert [r.output for r in once] == [r.output for r in again]
    assert before == dict(vars(ContinuousBatchProcessor))
    assert levels == (logging.get_verbosity(), logging.is_progress_bar_enabled())
