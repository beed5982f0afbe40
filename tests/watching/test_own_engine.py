"""Our own engine on the CPU device, whose worker reports real times: the truth is known."""

from __future__ import annotations

import gc
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("torch")

import idlescope
from idlescope.analysis import intervals
from idlescope.analysis.analyze import analyze
from idlescope.analysis.idle import concentration
from idlescope.analysis.intervals import Intervals
from idlescope.capture.step_clock import StepClock
from idlescope.engine.clock import VirtualClock
from idlescope.engine.devices.cpu import CpuDevice
from idlescope.engine.loop import Engine
from idlescope.engine.network.network import Network
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.errors import ConfigError
from idlescope.experiment.config import RunConfig
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from idlescope.trace.names.own_engine import DEPTHS
from idlescope.trace.open import open_trace
from idlescope.watching.foresight import here
from idlescope.watching.own_engine import watch_engine, watched
from idlescope.watching.ways.own_engine import OwnEngineWay

ROWS, NEW = 4, 40
SHAPE = Shape(ROWS, 512, 16 + NEW, ROWS * 27, 16)


@pytest.fixture(scope="module", params=list(DEPTHS))
def run(request, tmp_path_factory):
    """Serve a few requests in one mode, watched; return the watch and what the step clock has."""
    device = CpuDevice(Network(model("tiny"), "float32"), host_ns=1_000_000)
    depth = DEPTHS[request.param]
    slots = device.open(SHAPE, depth)
    clock = StepClock(device.clock.now)
    recorder = watch_engine(device, clock, folder=tmp_path_factory.mktemp("watches"))
    prompt = np.arange(16, dtype=np.int32)
    requests = [Request(index, prompt + index, NEW) for index in range(ROWS)]
    engine = Engine(device, slots, requests, recorder)
    device.begin()
    gc.disable()  # the watch and the step clock each time a collection, microseconds apart
    try:
        engine.run(
            lambda engine: recorder.watch.settle() if engine.steps % 7 == 0 else None
        )
    finally:
        gc.enable()
    recorder.watch.settle()
    state = recorder.watch.seen(here).state
    recording = recorder.watch.record(tmp_path_factory.mktemp("recording") / "r")
    recorder.watch.close()
    device.close()
    said = Metadata(format="recording", measured=True, mode=request.param)
    return request.param, state, clock.trace(device.name, said), open_trace(recording)


def test_idle_and_its_causes_are_those_of_the_step_clock_to_the_nanosecond(
    run, monkeypatch
):
    # where the system ran something else for several steps, the analysis takes it for no demand
    monkeypatch.setattr(concentration, "PAUSE_STEPS", 1e9)
    _, state, trace, _ = run
    truth = analyze(trace).results[0]
    after_ns = state.watched_ns - truth.occupancy.window_ns  # the last operation
    assert after_ns >= 0
    idle = dict(state.idle_ns)
    idle["host"] += idle.pop("no demand") - after_ns
    assert idle == truth.gaps.totals()
    assert state.busy_ns == truth.occupancy.active_ns
    assert sum(state.host_ns.values()) == state.idle_ns["host"]
    for phase in ("prepare", "submit"):
        behind_ns = behind_the_last_operation(trace, phase, after_ns)
        assert 0 <= state.host_ns[phase] - truth.host_ns[phase] <= behind_ns


def behind_the_last_operation(trace, phase, after_ns):
    """Return how long a phase went on there, ns: 0, but on a loaded machine the host lags."""
    ranges = trace.ranges
    of_phase = ranges.name == trace.names.index(phase)
    low = trace.operations.end.max()
    behind = intervals.clip(
        Intervals(ranges.start[of_phase], ranges.end[of_phase]), low, low + after_ns
    )
    return behind.measure


def test_idle_is_within_half_a_point(run):
    _, state, trace, _ = run
    truth = analyze(trace).results[0]
    after_ns = state.watched_ns - truth.occupancy.window_ns
    idle_ns = sum(state.idle_ns.values()) - after_ns
    idle_pct = 100 * idle_ns / (state.watched_ns - after_ns)
    assert idle_pct == pytest.approx(truth.idle_pct, abs=0.5)


def test_steps_and_tokens_are_counted(run):
    _, state, trace, _ = run
    assert sum(state.steps.values()) == NEW
    assert state.tokens == ROWS * NEW
    assert state.launched_told == NEW - 1
    assert trace.operations.step.max() == NEW - 1


def test_the_recording_says_what_the_step_clock_says(run):
    mode, _, trace, recording = run
    truth, found = analyze(trace).results[0], analyze(recording).results[0]
    assert found.steps.found == truth.steps.found
    assert found.gaps.totals() == truth.gaps.totals()
    assert len(found.steps) == NEW
    assert found.steps.device.tolist() == truth.steps.device.tolist()
    if mode == "sync":
        assert found.batching.kind == truth.batching.kind


class Modelled:
    kind, clock = "modelled", VirtualClock()


def test_a_modelled_device_has_nothing_to_watch(caplog):
    with pytest.raises(ConfigError, match="modelled"):
        watch_engine(Modelled(), None)
    recorder = StepClock(Modelled.clock.now)
    with watched(Modelled(), recorder) as given:
        assert given is recorder
    assert "only what really runs can be watched" in caplog.text


def test_a_run_is_watched_where_it_is_asked_for():
    seen = []

    @contextmanager
    def watching(device, recorder):
        with watched(device, recorder) as given:
            yield given
            given.watch.settle()
            seen.append(given.watch.seen().state)

    config = RunConfig(model="tiny", device="cpu", tokens=6, requests=2, mode="sync")
    run = idlescope.run(config, watched=watching)
    (state,) = seen
    assert sum(state.steps.values()) == len(run.modes["sync"].result.steps)
    assert state.busy_ns == run.modes["sync"].result.occupancy.active_ns
    assert state.engine == "idlescope"


def test_an_error_in_the_watch_leaves_the_run_as_it_is(tmp_path, monkeypatch, caplog):
    device = CpuDevice(Network(model("tiny"), "float32"))
    slots = device.open(SHAPE, 1)
    clock = StepClock(device.clock.now)
    recorder = watch_engine(device, clock, folder=tmp_path)
    monkeypatch.setattr(OwnEngineWay, "retired", lambda *_: 1 / 0)
    engine = Engine(device, slots, [Request(0, np.arange(4, dtype=np.int32), 8)], recorder)
    device.begin()
    engine.run()
    device.close()
    assert engine.tokens == 8
    assert "ZeroDivisionError" in recorder.watch.off
    assert len([line for line in caplog.messages if "turned itself off" in line]) == 1
    assert len(clock.trace(device.name, Metadata()).operations) == 24
