"""What the analysis says of small traces made by hand: steps, coverage, verdicts, frames."""

from __future__ import annotations

import numpy as np
import pytest

import idlescope
from idlescope.analysis.idle.activity import (
    STATES,
    device_busy,
    host_busy,
    idle_over_time,
    states,
)
from idlescope.capture.step_clock import StepClock
from idlescope.engine.devices.modelled import ModelledDevice
from idlescope.engine.loop import Engine
from idlescope.engine.requests import Request
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Scheduler
from idlescope.hardware.gpus import gpu
from idlescope.models.presets import model
from idlescope.trace.metadata import Metadata
from tests.make.kineto_files import call, operation, span, write


def analyse(tmp_path, events):
    return idlescope.analyze(idlescope.open(write(tmp_path / "t.json", events)))


def steps_of(*launches, wait=None):
    """Two ProfilerStep# of 100 µs; each launch is (call start, operation start, operation end)."""
    events = [span(0, 100_000, "ProfilerStep#4"), span(100_000, 200_000, "ProfilerStep#5")]
    for i, (launch, start, end) in enumerate(launches, 1):
        events += [call(launch, launch + 1_000, i), operation(start, end, correlation=i)]
    return events + ([call(*wait, 0, "cudaStreamSynchronize")] if wait else [])


def test_operations_belong_to_the_step_in_which_they_were_launched(tmp_path):
    events = steps_of(
        (10_000, 15_000, 60_000), (110_000, 115_000, 190_000), wait=(20_000, 65_000)
    )
    (device,) = analyse(tmp_path, events).results
    s = device.steps
    assert (s.found, s.number.tolist()) == ("ProfilerStep#", [4, 5])
    assert s.device.tolist() == [45_000, 75_000]
    assert s.idle.tolist() == [0, 55_000]
    assert s.host.tolist() == [55_000, 100_000]
    assert s.early.tolist() == [False, False]


def test_a_step_launched_before_its_predecessor_ended_is_early(tmp_path):
    (device,) = analyse(
        tmp_path, steps_of((10_000, 15_000, 150_000), (110_000, 151_000, 190_000))
    ).results
    assert device.steps.early.tolist() == [False, True]
    assert device.gaps.totals() == {
        "host": 0,
        "launch": 0,
        "queued": 1_000,
        "unattributed": 0,
    }


@pytest.mark.parametrize(
    ("events", "kind", "part"),
    [
        (
            steps_of((0, 5_000, 60_000), (110_000, 111_000, 190_000)),
            "host-bound",
            "27.57 %",
        ),
        (
            steps_of((0, 5_000, 60_000), (61_000, 111_000, 190_000)),
            "launch-bound",
            "27.57 %",
        ),
        (
            steps_of((0, 5_000, 60_000), (50_000, 111_000, 190_000)),
            "queue-bound",
            "27.57 %",
        ),
        (steps_of((0, 5_000, 60_000), (50_000, 60_001, 190_000)), "busy", "0.00 %"),
        ([operation(0, 10), operation(20, 30)], "cannot tell", "Only 0.0 %"),
        (
            [*steps_of((0, 5_000, 9_000)), call(0, 1, 99, "cudaGraphLaunch")],
            "cannot tell",
            "1 graph launches have no",
        ),
    ],
)
def test_verdicts(tmp_path, events, kind, part):
    (device,) = analyse(tmp_path, events).results
    assert device.verdict.kind == kind
    assert part in device.verdict.text


def test_two_devices_are_told_apart(tmp_path):
    events = [operation(0, 10, device=1), operation(20, 30, device=1), operation(0, 5)]
    analysis = analyse(tmp_path, events)
    assert [(d.device.index, d.occupancy.idle_ns) for d in analysis.results] == [
        (0, 0),
        (1, 10),
    ]
    frame = analysis.to_frame()
    assert frame["idle_ns"].tolist() == [0, 10]
    assert frame["unattributed_ns"].tolist() == [0, 10]


def test_host_and_device_states_add_up(tmp_path):
    events = steps_of(
        (10_000, 15_000, 60_000), (110_000, 115_000, 190_000), wait=(20_000, 65_000)
    )
    trace = idlescope.open(write(tmp_path / "t.json", events))
    (device,) = idlescope.analyze(trace).results
    parts = states(
        host_busy(trace, device.gaps), device_busy(device.operations), 0, 250_000
    )
    assert {state: parts[state].measure for state in STATES} == {
        "both busy": 5_000 + 75_000, "device only": 40_000, "host only": 15_000 + 50_000 + 10_000,
        "neither": 5_000 + 50_000,
    }  # fmt: skip


def test_idle_over_time_sums_to_idle(tmp_path):
    (device,) = analyse(
        tmp_path, steps_of((10_000, 15_000, 60_000), (110_000, 115_000, 190_000))
    ).results
    edges, percent = idle_over_time(device.occupancy, 7)
    assert (percent * np.diff(edges) / 100).sum() == pytest.approx(device.occupancy.idle_ns)


def test_waiting_for_requests_is_no_demand():
    device = ModelledDevice(gpu("h200"), model("tiny"), 0, 0, 1_000)
    recorder = StepClock(device.clock.now)
    shape = Shape(rows=1, tokens=8, length=8, blocks=4, block_size=4)
    requests = [
        Request(i, np.ones(2, np.int32), 3, arrival_ns=i * 1_000_000) for i in range(2)
    ]
    Engine(device, device.open(shape, 1), requests, recorder).run()
    (result,) = idlescope.analyze(recorder.trace("d", Metadata())).results
    assert next(iter(result.host_ns)) == "no demand"
    assert result.host_ns["no demand"] > 800_000


def test_scheduler_without_requests_has_nothing_to_run():
    assert Scheduler(Shape(1, 8, 8, 4, 4)).schedule(0) is None
