"""Every step of transformers' continuous batching is recorded, with ranges that tools see."""

from __future__ import annotations

import gc
import time
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
from idlescope.engine.clock import SystemClock
from idlescope.engine.devices import cuda_clock
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import RangeKind
from tests.make import checkpoints

THEIRS = {"engine": "transformers", "device": "cpu", "mode": "sync", "warmup": 0}


OURS = {**THEIRS, "engine": "idlescope"}


def outputs(result):
    return {r.id: r.output for r in result.modes["sync"].finished}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(checkpoints.write(tmp_path_factory.mktemp("llama"), initializer_range=0.1))


def test_long_prompts_go_in_chunks_and_every_step_is_recorded(checkpoint):
    work = {"model": checkpoint, "tokens": 6, "prompt_tokens": 50, "batch_size": 2}
    result = run(RunConfig(**THEIRS, **work, max_batch_tokens=40))
    sync = result.modes["sync"]
    # chunks of 40 of 50 + 50 tokens: the first request has its first token after two steps, the
    # other after three
    assert sync.result.steps.found == "recorded"
    assert list(sync.result.steps.number) == list(range(3 + 5))
    assert len(sync.trace.operations) == 8
    assert sync.tokens == 12
    assert outputs(result) == outputs(run(RunConfig(**OURS, **work)))


@pytest.mark.parametrize(("prompt", "budget"), [(1, 8192), (41, 40), (2, 3)])
def test_prompts_that_end_in_a_single_token_have_a_first_token_too(
    checkpoint, prompt, budget
):
    work = {
        "model": checkpoint,
        "tokens": 4,
        "prompt_tokens": prompt,
        "batch_size": 2,
        "requests": 3,
    }
    sync = run(RunConfig(**THEIRS, **work, max_batch_tokens=budget)).modes["sync"]
    assert len(sync.finished) == 3
    assert all(0 < r.first_token_ns < r.finished_ns <= sync.total_ns for r in sync.finished)
    # what has been computed, however it was cut into steps
    architecture = model(checkpoint)
    tokens, pairs = prompt + 4 - 1, sum(range(1, prompt + 4))
    assert sync.trace.operations.flops.sum() == 3 * architecture.step_flops(
        tokens, 4, pairs
    )


def test_phases_nest_and_leave_little_untold(checkpoint):
    result = run(
        RunConfig(**THEIRS, model=checkpoint, tokens=30, prompt_tokens=20, batch_size=4)
    )
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
    # the outer phases tell nearly all of a usual step, and no instant twice
    steps = r.take(r.step >= 0)
    assert (steps.start[1:] >= steps.end[:-1]).all()
    first_of_step = np.flatnonzero(np.diff(steps.step, prepend=-1))
    told = np.add.reduceat(steps.end - steps.start, first_of_step)[:-1]
    assert np.median(told / np.diff(steps.start[first_of_step])) > 0.9


def test_work_is_counted_as_our_engine_counts_it(checkpoint):
    work = {
        "model": checkpoint,
        "tokens": 12,
        "prompt_tokens": "uniform:3,40",
        "batch_size": 3,
    }
    theirs, ours = (
        run(RunConfig(**engine, **work)).modes["sync"].trace.operations
        for engine in (THEIRS, OURS)
    )
    compute = ours.take(ours.flops > 0)
    assert (theirs.bytes == compute.bytes).all()
    assert (theirs.flops == compute.flops).all()


def test_torch_profiler_sees_the_same_phases(tmp_path, checkpoint):
    config = RunConfig(
        **THEIRS,
        model=checkpoint,
        tokens=40,
        prompt_tokens=10,
        batch_size=2,
        profile="torch:15-24",
    )
    profiled = run(config, folder=tmp_path).modes["sync"].profiled
    assert profiled is not None
    assert profiled.analysis is not None
    assert profiled.analysis.engine == "transformers"
    assert profiled.document().steps_found == 10
    by_clock, by_profiler = profiled.phase_ns["step clock"], profiled.phase_ns["profiler"]
    assert set(by_clock) == set(by_profiler)
    assert sum(by_profiler.values()) == pytest.approx(sum(by_clock.values()), rel=0.25)


class Pipeline:
    """A batch processor whose methods are called as transformers' asynchronous loop does."""

    def __init__(self):
        self.scheduler = SimpleNamespace(
            schedule_batch=lambda: ([object()] * 4, False, 4, 40)
        )
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
    trace = recorder.trace("GPU", Metadata())
    result = analyze(trace).results[0]
    assert list(result.steps.number) == [0, 1, 2, 3, 4, 5]
    assert (result.steps.device == 10_000_000).all()
    assert result.steps.early[1:].all()
    assert result.occupancy.idle_ns == 0
    assert int(result.waits.sum()) == 6
