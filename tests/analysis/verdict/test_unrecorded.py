"""What was launched and not recorded bounds idle, and refuses where a verdict lies between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import idlescope
from idlescope.trace.model import OperationKind
from tests.analysis.verdict.test_corruption import steps
from tests.make.kineto_files import call, operation, write
from tests.make.views import measured

US = 1_000
MS = 1_000_000


def test_memsets_that_were_never_recorded_bound_idle(tmp_path):
    events = steps()
    plain = measured(tmp_path, events)
    for number, event in enumerate([e for e in events if e["name"] == "cudaLaunchKernel"]):
        if number % 2 == 0:
            at = round(event["ts"] * 1000)
            events.append(call(at - 900, at - 100, 10_000 + number, "cudaMemsetAsync"))
    device = measured(tmp_path, events)
    assert device.coverage.launches_lost == 0
    assert device.verdict.kind == plain.verdict.kind == "synchronous"
    bounds = device.doubts.bounds
    assert bounds.high_pct == pytest.approx(plain.idle_pct)
    assert plain.idle_pct - 1 < bounds.low_pct < plain.idle_pct
    assert "100 launches have no record of what they ran." in device.verdict.text


def replays(kernels, step_ns=8 * MS, count=20, late_ns=0):
    """Replays of a graph of `kernels` kernels, which begin `late_ns` late."""
    events = []
    for replay in range(count):
        at = replay * step_ns
        events.append(call(at, at + 20 * US, replay + 1, "cudaGraphLaunch"))
        start = at + 30 * US + late_ns
        for _ in range(kernels):
            events.append(operation(start, start + 70 * US, correlation=replay + 1))
            start += 72 * US
    return events


def test_replays_of_which_most_kernels_are_missing_tell_nothing(tmp_path):
    device = measured(tmp_path, replays(1, late_ns=7 * MS))
    assert device.verdict.kind == "cannot tell"
    assert (
        "graph replays seem to begin long after they were launched" in device.verdict.text
    )


def test_a_graph_of_one_record_that_begins_late_lacks_none(tmp_path):
    """As nsys and a watch by CUPTI record it: on a device that another process uses, say."""
    trace = idlescope.open(write(tmp_path / "trace.json", replays(1, late_ns=7 * MS)))
    kind = np.full(len(trace.operations), OperationKind.GRAPH)
    graphs = replace(trace, operations=trace.operations.replace(kind=kind))
    (device,) = idlescope.analyze(graphs).results
    assert device.doubts.bounds.low_pct == device.doubts.bounds.high_pct
    assert "graph replays" not in device.verdict.text


def test_a_few_missing_kernels_of_replays_bound_idle(tmp_path):
    whole = measured(tmp_path, replays(100))
    events = replays(100)
    # every other replay lacks two kernels in its middle
    lacking = [
        event
        for row, event in enumerate(events)
        if row % 202 not in (50, 70) or event["cat"] != "kernel"
    ]
    device = measured(tmp_path, lacking)
    bounds = device.doubts.bounds
    assert device.idle_pct > whole.idle_pct + 0.5
    assert bounds.low_pct <= whole.idle_pct <= bounds.high_pct
    assert "graph replays have fewer operations than others" in device.verdict.text


def test_where_few_replays_have_the_same_size_even_the_largest_may_lack_some(tmp_path):
    whole = measured(tmp_path, replays(100, count=6))
    # of six replays of one graph three sizes: two lack one kernel, three two, and one three
    lost = {
        row * 101 + kernel
        for row, kernel in ((0, 9), (1, 9), (2, 9), (3, 9), (4, 9), (5, 9))
    }
    lost |= {
        row * 101 + kernel for row, kernel in ((2, 40), (3, 40), (4, 40), (5, 40), (5, 60))
    }
    lacking = [event for row, event in enumerate(replays(100, count=6)) if row not in lost]
    bounds = measured(tmp_path, lacking).doubts.bounds
    assert bounds.low_pct <= whole.idle_pct <= bounds.high_pct


def test_graphs_of_different_sizes_lack_nothing(tmp_path):
    events = replays(100, count=10)
    for event in replays(40, count=10):
        args = {**event["args"], "correlation": event["args"]["correlation"] + 100}
        events.append({**event, "ts": event["ts"] + 80_000, "args": args})
    assert not measured(tmp_path, events).doubts.bounds.apart
