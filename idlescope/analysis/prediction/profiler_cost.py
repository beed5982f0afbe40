"""What a profiler adds to the host work of recorded steps, and what steps cost without it.

Each operator, annotation, call and Python frame that torch.profiler records takes a little of the
launching thread's time, and the launch of a CUDA graph takes longer. A watch by activity has CUPTI
alone: the launch of a graph takes longer, and a little longer that of a kernel or a copy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from idlescope.analysis import intervals
from idlescope.analysis.intervals import BEFORE_EVERYTHING, CHUNK, Intervals
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.host_work import HostWork
from idlescope.analysis.prediction.recorded_steps import RecordedSteps
from idlescope.analysis.prediction.replay import replay
from idlescope.analysis.prediction.step_costs import HOST_COLUMNS, StepCosts
from idlescope.analysis.steps.find import RECORDED
from idlescope.hardware.latencies import (
    CUPTI_COPY_NS,
    CUPTI_KERNEL_NS,
    PROFILED_FRAME_NS,
    PROFILED_RECORD_NS,
    UNPROFILED_GRAPH_LAUNCH_NS,
)
from idlescope.trace.model import Calls, RangeKind
from idlescope.trace.names.calls import COPY_LAUNCH, GRAPH_LAUNCH, KERNEL_LAUNCH, matching
from idlescope.trace.table import Int64
from idlescope.trace.watch_said import said_by_watch

MOST_SHARES = 3.0  # how many times the usual cost of a record a slow machine may take
HALVINGS = 24  # of the interval in which the share is looked for
CLOSE_ENOUGH = 0.002  # of a step's time


class _RecordCosts(NamedTuple):
    """When each record was made, in no order, and what it cost: ns."""

    start: Int64
    cost: Int64


def recorded_by_torch(result: MeasuredDevice) -> bool:
    """Return whether torch.profiler recorded a device, so that its cost can be estimated."""
    recording = result.view.trace.meta
    copied_from_nsys = "global_pids" in recording.extra
    by_profiler = recording.format == "kineto" and recording.measured is None
    return by_profiler and not copied_from_nsys and result.steps.found != RECORDED


def unprofiled_is_known(result: MeasuredDevice) -> bool:
    """Return whether it is known, not estimated, what steps take without the profiler.

    Of what CUPTI adds to a watch's recording, each launch call's own record tells.
    """
    return result.unprofiled is not None or said_by_watch(result.view.trace.meta).by_cupti


def profiler_columns(work: HostWork) -> dict[str, Int64]:
    """Return the part of the host columns that the profiler is estimated to add, in ns."""
    return work.columns(_added_time(work.steps))


def without_profiler(
    costs: StepCosts, added: dict[str, Int64], depth: int, step_ns: float | None = None
) -> StepCosts:
    """Return what the steps cost without the profiler.

    `added` is what it is estimated to add (`profiler_columns`). Where the time of a step without it
    is known, `step_ns`, as large a share of that comes off as makes the replayed steps take so
    long; what is left then comes off the device's time.
    """
    if step_ns is None:
        return _less(costs, added, 1.0)
    if replay(costs, depth).step_ns <= step_ns:
        return costs
    low, high = 0.0, MOST_SHARES
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if replay(_less(costs, added, middle), depth).step_ns > step_ns:
            low = middle
        else:
            high = middle
    costs = _less(costs, added, high)
    left_ns = replay(costs, depth).step_ns
    if left_ns <= step_ns * (1 + CLOSE_ENOUGH):
        return costs
    return _faster_device(costs, step_ns / left_ns)


def _less(costs: StepCosts, added: dict[str, Int64], share: float) -> StepCosts:
    columns = {}
    for name in HOST_COLUMNS:
        spared = np.rint(share * added[name]).astype(np.int64)
        columns[name] = np.clip(getattr(costs, name) - spared, 0, None)
    return replace(costs, **columns)


def _faster_device(costs: StepCosts, factor: float) -> StepCosts:
    compute = np.rint(costs.compute * factor).astype(np.int64)
    kernels = np.rint(costs.kernels * factor).astype(np.int64)
    saved = np.minimum(costs.compute - compute, np.maximum(costs.finish, 0))
    return replace(costs, compute=compute, kernels=kernels, finish=costs.finish - saved)


def _added_time(steps: RecordedSteps) -> Intervals:
    """Return when the launching thread is estimated to have worked for the profiler.

    Each record's cost begins with it; where records follow one another faster than that, the costs
    queue up. A million records are taken stretch by stretch: their arrays are much memory.
    """
    recorded = _record_costs(steps)
    by_start = np.argsort(recorded.start, kind="stable")
    begins, ends = [by_start[:0]], [by_start[:0]]
    busy_until = BEFORE_EVERYTHING
    for first in range(0, by_start.size, CHUNK):
        rows = by_start[first : first + CHUNK]
        start, cost = recorded.start[rows], recorded.cost[rows]
        spent = np.cumsum(cost) - cost
        idle_start = np.maximum(start, busy_until) - spent
        begin = np.maximum.accumulate(idle_start) + spent
        busy = intervals.join(Intervals(begin, begin + cost), 1)
        begins.append(busy.start)
        ends.append(busy.end)
        busy_until = int(busy.end[-1])
    return intervals.join(Intervals(np.concatenate(begins), np.concatenate(ends)), 1)


def _record_costs(steps: RecordedSteps) -> _RecordCosts:
    """Return what each record of the launching thread costs.

    For a graph it is what its launch took beyond the usual.
    """
    trace, ranges = steps.trace, steps.trace.ranges
    calls = trace.calls.take(trace.calls.thread == steps.thread)
    graph = matching(GRAPH_LAUNCH, trace.names)[calls.name]
    launched = np.minimum(calls.start[graph] + UNPROFILED_GRAPH_LAUNCH_NS, calls.end[graph])
    graphs = _RecordCosts(launched, calls.end[graph] - launched)
    if said_by_watch(trace.meta).by_cupti:
        return _with_cupti(graphs, calls, trace.names)

    recorded = (ranges.thread == steps.thread) & (ranges.kind <= RangeKind.FRAME)
    is_frame = ranges.kind[recorded] == RangeKind.FRAME
    range_cost = np.where(is_frame, PROFILED_FRAME_NS, PROFILED_RECORD_NS)
    call_start = calls.start[~graph]
    call_cost = np.full(call_start.size, PROFILED_RECORD_NS)
    return _RecordCosts(
        start=np.concatenate((ranges.start[recorded], call_start, graphs.start)),
        cost=np.concatenate((range_cost, call_cost, graphs.cost)),
    )


def _with_cupti(graphs: _RecordCosts, calls: Calls, names: tuple[str, ...]) -> _RecordCosts:
    """Return what CUPTI adds to launches of graphs, and to those of kernels and copies."""
    kernels = calls.start[matching(KERNEL_LAUNCH, names)[calls.name]]
    copies = calls.start[matching(COPY_LAUNCH, names)[calls.name]]
    cost = np.repeat((CUPTI_KERNEL_NS, CUPTI_COPY_NS), (kernels.size, copies.size))
    return _RecordCosts(
        start=np.concatenate((graphs.start, kernels, copies)),
        cost=np.concatenate((graphs.cost, cost)),
    )
