"""transformers' continuous batching as an engine: same tokens, every step recorded, ranges that tools see."""

from __future__ import annotations

import gc
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.17")

from idlescope import RunConfig, run
from idlescope.analysis.analyze import analyze
from idlescope.capture.step_clock import StepClock
from idlescope.capture.transformers.hook import Hook
from idlescope.capture.transformers.methods import METHODS, PHASES
from idlescope.capture.transformers.network import configured, load
from idlescope.capture.transformers.serve import Settings, serve
from idlescope.cli import main
from idlescope.engine.clock import SystemClock
from idlescope.engine.devices import cuda_clock
from idlescope.engine.network.checkpoint import shapes
from idlescope.engine.requests import Finish, Request
from idlescope.errors import ConfigError, EngineError
from idlescope.models import hugging_face
from idlescope.models.presets import MODELS, model
from idlescope.report import run_report
from idlescope.trace.model import RangeKind
from tests.make import checkpoints

PEER = {"engine": "transformers", "device": "cpu", "mode": "sync", "warmup": 0}
OURS = {**PEER, "engine": "idlescope"}
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
    work = {"model": str(where), "tokens": "uniform:5,20", "prompt_tokens": "uniform:3,60", "batch_size": 4,
            "requests": 9}  # fmt: skip
    peer, ours = run(RunConfig(**PEER, **work)), run(RunConfig(**OURS, **work))
    assert len(outputs(peer)) == 9
    assert outputs(peer) == outputs(ours)
    assert peer.modes["sync"].tokens == ours.modes["sync"].tokens


def test_a_named_model_has_the_weights_that_ours_has():
    work = {"model": "tiny", "tokens": 12, "prompt_tokens": 30, "batch_size": 3}
    assert outputs(run(RunConfig(**PEER, **work))) == outputs(run(RunConfig(**OURS, **work)))


@pytest.mark.parametrize("key", MODELS)
def test_a_named_model_is_the_same_architecture(key):
    with torch.device("meta"):
        made = transformers.AutoModelForCausalLM.from_config(configured(MODELS[key]))
    assert {name: tuple(weight.shape) for name, weight in made.named_parameters()} == shapes(
        MODELS[key]
    )
    assert made.config.tie_word_embeddings == MODELS[key].tied


def test_tied_random_weights_stay_tied():
    network = load(replace(MODELS["tiny"], tied=True, qk_norm=True), "float32", "cpu", 0)
    assert network.lm_head.weight is network.model.embed_tokens.weight
    assert {w.device.type for w in (*network.parameters(), *network.buffers())} == {"cpu"}


def test_long_prompts_go_in_chunks_and_every_step_is_recorded(checkpoint):
    work = {"model": checkpoint, "tokens": 6, "prompt_tokens": 50, "batch_size": 2}
    result = run(RunConfig(**PEER, **work, max_batch_tokens=40))
    sync = result.modes["sync"]
    # chunks of 40 of 50 + 50 tokens: the first request has its first token after two steps, the other after three
    assert sync.result.steps.found == "recorded"
    assert list(sync.result.steps.number) == list(range(3 + 5))
    assert len(sync.trace.operations) == 8
    assert sync.tokens == 12
    assert outputs(result) == outputs(run(RunConfig(**OURS, **work)))


@pytest.mark.parametrize(("prompt", "budget"), [(1, 8192), (41, 40), (2, 3)])
def test_prompts_that_end_in_a_single_token_have_a_first_token_too(checkpoint, prompt, budget):
    work = {
        "model": checkpoint,
        "tokens": 4,
        "prompt_tokens": prompt,
        "batch_size": 2,
        "requests": 3,
    }
    sync = run(RunConfig(**PEER, **work, max_batch_tokens=budget)).modes["sync"]
    assert len(sync.finished) == 3
    assert all(0 < r.first_token_ns < r.finished_ns <= sync.total_ns for r in sync.finished)
    # what has been computed, however it was cut into steps
    architecture = model(checkpoint)
    tokens, pairs = prompt + 4 - 1, sum(range(1, prompt + 4))
    assert sync.trace.operations.flops.sum() == 3 * architecture.step_flops(tokens, 4, pairs)


def test_phases_nest_and_leave_little_untold(checkpoint):
    result = run(RunConfig(**PEER, model=checkpoint, tokens=30, prompt_tokens=20, batch_size=4))
    sync = result.modes["sync"]
    r, names = sync.trace.ranges, np.array(sync.trace.names)[sync.trace.ranges.name]
    assert sync.analysis.engine == "transformers"
    assert len(sync.result.steps) == 30
    for method, phase in zip(METHODS, PHASES, strict=True):
        own = names == phase
        assert (own & (r.step >= 0)).sum() == (30 if method.outer else 0), phase
        assert own.sum() >= 30
    outer = r.take(names == "cb:prepare_next_batch")
    for name in ("cb:schedule_batch", "cb:prepare_batch_tensors"):
        inner = r.take(names == name)
        around = np.searchsorted(outer.start, inner.start, "right") - 1
        assert (inner.end <= outer.end[around]).all()
    # the outer phases tell nearly all of the time, and no instant twice
    steps = r.take(r.step >= 0)
    assert (steps.start[1:] >= steps.end[:-1]).all()
    assert (steps.end - steps.start).sum() > 0.9 * (steps.end[-1] - steps.start[0])


def test_on_a_cpu_all_idle_is_host_work_and_no_asynchrony_is_predicted(checkpoint):
    result = run(RunConfig(**PEER, model=checkpoint, tokens=10, prompt_tokens=20, batch_size=4))
    figures, summary = result.modes["sync"].result, result.summary()
    assert figures.gaps.totals()["host"] == figures.occupancy.idle_ns > 0
    assert summary["predicted"] is None
    assert summary["environment"]["transformers"] == transformers.__version__
    assert (
        0
        < summary["modes"]["sync"]["ttft_ms"]["p50"]
        < summary["modes"]["sync"]["latency_ms"]["p50"]
    )


def test_work_is_counted_as_our_engine_counts_it(checkpoint):
    work = {"model": checkpoint, "tokens": 40, "prompt_tokens": "uniform:3,40", "batch_size": 3}
    peer, ours = (
        run(RunConfig(**engine, **work)).modes["sync"].trace.operations for engine in (PEER, OURS)
    )
    compute = ours.take(ours.flops > 0)
    assert (peer.bytes == compute.bytes).all()
    assert (peer.flops == compute.flops).all()


def test_a_stop_token_ends_a_request(tmp_path, checkpoint):
    where = tmp_path / "stops"
    shutil.copytree(checkpoint, where)
    work = {"tokens": 20, "prompt_tokens": 10, "batch_size": 3}
    free = outputs(run(RunConfig(**PEER, model=checkpoint, **work)))
    stop = free[0][4]
    (where / "generation_config.json").write_text(json.dumps({"eos_token_id": [stop]}))
    hugging_face.read.cache_clear()
    result = run(RunConfig(**PEER, model=str(where), **work, stop_at_eos=True))
    first = next(r for r in result.modes["sync"].finished if r.id == 0)
    assert first.output == free[0][: free[0].index(stop) + 1]
    assert first.finish is Finish.STOP
    assert outputs(run(RunConfig(**PEER, model=str(where), **work))) == free


def test_torch_profiler_sees_the_same_phases(tmp_path, checkpoint):
    config = RunConfig(
        **PEER, model=checkpoint, tokens=40, prompt_tokens=10, batch_size=2, profile="torch:15-24"
    )
    profiled = run(config, folder=tmp_path).modes["sync"].profiled
    assert profiled is not None
    assert profiled.analysis is not None
    assert profiled.analysis.engine == "transformers"
    assert profiled.to_json()["steps_found"] == 10
    by_clock, by_profiler = profiled.phase_ns["step clock"], profiled.phase_ns["profiler"]
    assert set(by_clock) == set(by_profiler)
    assert sum(by_profiler.values()) == pytest.approx(sum(by_clock.values()), rel=0.1)


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
        (["--engine", "vllm"], "no engine is called 'vllm': choose one of idlescope, transformers"),
    ],
)
def test_what_it_cannot_do_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys, options, said):
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
    file.write_text("".join(
        json.dumps({"prompt_tokens": 4, "output_tokens": 2, "arrival_s": at}) + "\n" for at in (0, 1.5)
    ))  # fmt: skip
    with pytest.raises(ConfigError, match="all requests at the start"):
        run(RunConfig(**PEER, model="tiny", workload=str(file)))


def test_both_modes_on_a_cpu_are_the_synchronous_one_and_a_report_is_written(tmp_path, checkpoint):
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
    hook = Hook(model(checkpoint), StepClock(clock.now, PHASES), clock, cuda=False, pipelined=False)
    with pytest.raises(EngineError, match="transformers' step 2 failed: the weights are gone"):
        serve(network, requests_of(2), SETTINGS, hook)
    assert "Traceback" not in capfd.readouterr().err


def test_a_cache_that_does_not_fit_is_one_sentence(checkpoint):
    network = load(model(checkpoint), "float32", "cpu", 0)
    with pytest.raises(ConfigError, match=r"transformers cannot batch this: .*fewer --tokens"):
        serve(network, requests_of(2), SETTINGS._replace(blocks=10**9))


@pytest.mark.parametrize("weights", [None, b"", b"\x08" + bytes(7) + b"not json"])
def test_a_checkpoint_without_its_weights_is_one_sentence(checkpoint, tmp_path, weights):
    shutil.copy(Path(checkpoint) / "config.json", tmp_path)
    if weights is not None:
        (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ConfigError, match="transformers cannot load"):
        load(model(str(tmp_path)), "float32", "cpu", 0)


def test_ctrl_c_keeps_what_there_is(checkpoint):
    def stop(mode, running):
        if running.tokens > 20:
            raise KeyboardInterrupt

    result = run(
        RunConfig(**PEER, model=checkpoint, tokens=1500, prompt_tokens=5, batch_size=2), stop
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
                **{**PEER, "warmup": 3}, model=checkpoint, tokens=5, prompt_tokens=5, batch_size=2
            )
        )


def test_the_library_is_left_as_it_was(checkpoint):
    from transformers.generation.continuous_batching.continuous_api import ContinuousBatchProcessor
    from transformers.utils import logging

    before = dict(vars(ContinuousBatchProcessor))
    levels = logging.get_verbosity(), logging.is_progress_bar_enabled()
    network = load(model(checkpoint), "float32", "cpu", 0)
    once, again = (serve(network, requests_of(3), SETTINGS).finished for _ in range(2))
    assert [r.output for r in once] == [r.output for r in again]
    assert before == dict(vars(ContinuousBatchProcessor))
    assert levels == (logging.get_verbosity(), logging.is_progress_bar_enabled())


class Pipeline:
    """A batch processor with the methods that are wrapped, to be called as transformers' asynchronous loop does."""

    def __init__(self):
        self.scheduler = SimpleNamespace(schedule_batch=lambda: ([object()] * 4, False, 4, 40))
        self.inputs_and_outputs = InputsAndOutputs()
        self.model_runner = Runner(self.inputs_and_outputs)

    def prepare_next_batch(self):
        self.scheduler.schedule_batch()
        self.inputs_and_outputs.prepare_batch_tensors()
        return True

    def update_batch(self):
        self.inputs_and_outputs.prepare_batch_update()

    def step(self):
        self.prepare_next_batch()
        self.inputs_and_outputs.get_model_kwargs()
        self.model_runner.compute_batch()
        self.inputs_and_outputs.retrieve_device_outputs()


class InputsAndOutputs:
    compute_stream = None

    def prepare_batch_tensors(self): ...
    def get_model_kwargs(self): ...
    def get_graph(self):
        return "graph"

    def retrieve_device_outputs(self): ...
    def prepare_batch_update(self):
        return [], [], None


class Runner:
    def __init__(self, inputs_and_outputs):
        self.io = inputs_and_outputs

    def compute_batch(self):
        self.io.get_graph()

    def _capture_graph(self): ...


def test_the_collector_is_watched_from_the_first_step_on():
    clock = SystemClock()
    recorder = StepClock(clock.now, PHASES)
    hook, processor, before = (
        Hook(model("tiny"), recorder, clock, False, False),
        Pipeline(),
        list(gc.callbacks),
    )
    with hook.attached(processor, 0):
        gc.collect()  # on a clock that has not begun
        processor.step()
        gc.collect()
        processor.update_batch()
    assert gc.callbacks == before
    ranges = recorder.trace("CPU", {}).ranges
    collected = ranges.take(ranges.kind == RangeKind.GARBAGE_COLLECTION)
    assert len(collected) == 1
    assert 0 < collected.start[0] < collected.end[0] <= hook.updated_ns


class FakeTimer:
    """Each step computes for 10 ms from when it was begun, or from the end of the one before."""

    def __init__(self, stream):
        self.clock = SimpleNamespace(keep=lambda: None)
        self.begun = self.free = self.begins = 0

    def begin(self):
        self.begins += 1
        self.begun = time.perf_counter_ns()

    def end(self):
        start = max(self.begun, self.free)
        self.free = start + 10_000_000
        return SimpleNamespace(span=lambda: (start, start + 10_000_000))


def test_an_asynchronous_pipeline_is_recorded_step_by_step(monkeypatch):
    """On CUDA each update is of the step before: here with a stand-in for the GPU's events."""
    monkeypatch.setattr(cuda_clock, "StreamTimer", FakeTimer)
    clock = SystemClock()
    recorder = StepClock(clock.now, PHASES)
    hook = Hook(model("tiny"), recorder, clock, cuda=True, pipelined=True)
    processor, steps = Pipeline(), []
    hook.before_step = steps.append
    with hook.attached(processor, 0):
        processor.step()
        for _ in range(5):
            processor.step()
            processor.update_batch()
        processor.update_batch()  # the last one in flight
    owners = (processor, processor.inputs_and_outputs, processor.model_runner)
    assert not {"update_batch", "get_graph", "compute_batch"} & {
        name for owner in owners for name in vars(owner)
    }
    assert steps == [0, 1, 2, 3, 4, 5]
    assert hook.launched == hook.updated == 6
    assert hook.busy_ns() == 6 * 10_000_000
    assert hook.tokens == 24
    trace = recorder.trace("GPU", {})
    result = analyze(trace).results[0]
    assert list(result.steps.number) == [0, 1, 2, 3, 4, 5]
    assert (result.steps.device == 10_000_000).all()
    assert result.steps.early[1:].all()
    assert result.occupancy.idle_ns == 0
    assert int(result.waits.sum()) == 6
