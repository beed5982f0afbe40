"""What asynchronous batching would take, from a synchronous recording: its steps replayed through a pipeline two deep.

Each step keeps its own host work before and after its launch, its own compute time and its own latencies; what changes
is the order, as in the engine's loop: the host prepares step N+1 while the device computes step N. One dependency is
not seen: where a whole batch ends at once, its successor can be formed only when the last tokens are on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from idlescope.analysis import idle
from idlescope.analysis.result import DeviceResult
from idlescope.analysis.steps import blocked, union_by
from idlescope.trace.model import Int64, Trace

CONFIDENCE = 1.96  # standard deviations: 95 % of a normal distribution


@dataclass(frozen=True)
class Prediction:
    """Predicted time of the whole run, ns; the interval is what the variation from step to step allows, at 95 %."""

    total_ns: int
    low_ns: int
    high_ns: int

    def to_json(self) -> dict[str, Any]:
        """Return the `predicted` entry of summary.json."""
        return {"total_s": self.total_ns / 1e9, "low_s": self.low_ns / 1e9, "high_s": self.high_ns / 1e9}


@dataclass(frozen=True)
class StepCosts:
    """What each step costs on either side, nanoseconds."""

    before: Int64  # host work up to its last launch
    after: Int64  # host work after it, waiting not counted
    latency: Int64  # from the end of the last launch to the start of compute, the device being free; may be negative
    compute: Int64
    tail: Int64  # from the end of compute to the end of the host's wait: copy and wake-up


def asynchronous(trace: Trace, result: DeviceResult) -> Prediction | None:
    """Predict the asynchronous run from a synchronous one; None where the trace does not say whose step is whose."""
    costs = step_costs(trace, result)
    if costs is None:
        return None
    finished = replay(costs)
    each = np.diff(finished, prepend=0)
    # Neighbouring steps differ by chance, not by context: half the variance of their difference is that of one step.
    spread = float(np.std(np.diff(each))) / np.sqrt(2) if each.size > 2 else 0.0
    margin = round(CONFIDENCE * spread * np.sqrt(each.size))
    total = int(finished[-1])
    return Prediction(total, max(0, total - margin), total + margin)


def step_costs(trace: Trace, result: DeviceResult) -> StepCosts | None:
    """Return the costs of the steps of a recording, in order; None where its steps are not recorded."""
    steps, operations = result.steps, result.operations
    if steps.found != "recorded" or not len(steps):
        return None
    n = len(steps)
    launches = result.launches
    linked = (launches >= 0) & np.isin(operations.step, steps.number)
    row = np.searchsorted(steps.number, operations.step[linked])
    launched = np.zeros(n, np.int64)
    np.maximum.at(launched, row, trace.calls.end[launches[linked]])

    host = trace.ranges.take(trace.ranges.step >= 0)
    of = np.searchsorted(steps.number, host.step)
    waited, wait_end = blocked(trace, host, result.waits)
    before = np.clip(np.minimum(host.end, launched[of]) - host.start, 0, None)
    costs = {"before": before, "after": host.end - host.start - before - waited}
    sums = {name: np.zeros(n, np.int64) for name in costs}
    for name, values in costs.items():
        np.add.at(sums[name], of, values)
    retrieved = np.zeros(n, np.int64)
    np.maximum.at(retrieved, of, wait_end)

    computing = idle.is_compute(operations) & np.isin(operations.step, steps.number)
    row = np.searchsorted(steps.number, operations.step[computing])
    start = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(start, row, operations.start[computing])
    end = np.zeros(n, np.int64)
    np.maximum.at(end, row, operations.end[computing])
    whole = end > 0  # a step that was interrupted has no compute
    return StepCosts(
        before=sums["before"][whole],
        after=sums["after"][whole],
        latency=(start - launched)[whole],
        compute=union_by(row, operations.start[computing], operations.end[computing], n)[whole],
        tail=np.clip(retrieved - end, 0, None)[whole],
    )


def replay(costs: StepCosts) -> Int64:
    """Return when the host has finished each step, in a pipeline two deep (ns from the start)."""
    host = free = 0
    waiting = None  # the step in flight: when its tokens are on the host, and the work they then need
    finished = []
    columns = (costs.before, costs.after, costs.latency, costs.compute, costs.tail)
    for before, after, latency, compute, tail in zip(*(c.tolist() for c in columns), strict=True):
        host += before
        free = max(host + latency, free) + compute
        if waiting is not None:
            host = max(host, waiting[0]) + waiting[1]
            finished.append(host)
        waiting = free + tail, after
    if waiting is not None:
        finished.append(max(host, waiting[0]) + waiting[1])
    return np.array(finished, np.int64)
