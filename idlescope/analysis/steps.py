"""Steps of the batching loop: host, device and exposed idle time of each, and whether it was launched early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.causes import Gaps
from idlescope.analysis.intervals import Intervals
from idlescope.trace.model import Bool, Int64, Operations, Ranges, Trace
from idlescope.trace.phases import PROFILER_STEP, synchronising


@dataclass(frozen=True)
class Steps:
    """One row a step, in order. Times in nanoseconds."""

    found: str  # how the steps were found: "recorded", "ProfilerStep#" or "none"
    number: Int64
    start: Int64  # first host work for the step
    end: Int64  # last host work for the step
    host: Int64  # time the host worked for the step, not counting calls that wait for the device
    device: Int64  # union of the step's operations
    idle: Int64  # gaps ended by an operation of the step: the idle time that it exposed
    early: Bool  # launched before the previous step ended on the device: real asynchrony; False for the first

    def __len__(self) -> int:
        return len(self.number)


def find(trace: Trace, operations: Operations, launches: Int64, gaps: Gaps) -> Steps:
    """Return the steps of one device's work.

    `operations` are that device's, sorted by start; `launches` is their `link`. Steps are those the recording names,
    else torch.profiler's `ProfilerStep#` ranges, an operation belonging to the step in which it was launched.
    """
    host = trace.ranges.take(trace.ranges.step >= 0)
    if len(host):
        return _measure("recorded", trace, host, operations, operations.step.astype(np.int64), launches, gaps)
    matches = [PROFILER_STEP.match(name) for name in trace.names]
    number = np.array([int(m[1]) if m else -1 for m in matches], np.int64)
    host = trace.ranges.take(number[trace.ranges.name] >= 0) if len(trace.ranges) else trace.ranges
    if not len(host):
        none = np.empty(0, np.int64)
        return Steps("none", none, none, none, none, none, none, np.empty(0, np.bool_))
    host = host.take(np.argsort(host.start, kind="stable"))
    columns = {name: getattr(host, name) for name in host.DTYPES} | {"step": number[host.name]}
    step = _step_of_launch(trace, Ranges(**columns), launches)
    return _measure("ProfilerStep#", trace, Ranges(**columns), operations, step, launches, gaps)


def _step_of_launch(trace: Trace, host: Ranges, launches: Int64) -> Int64:
    known = launches >= 0
    at = np.full(launches.size, -1, np.int64)
    issued = trace.calls.start[launches[known]]
    row = np.searchsorted(host.start, issued, "right") - 1
    inside = (row >= 0) & (issued < host.end[row])
    at[known] = np.where(inside, host.step[row], -1)
    return at


def _measure(
    found: str, trace: Trace, host: Ranges, operations: Operations, step: Int64, launches: Int64, gaps: Gaps
) -> Steps:
    number, row = np.unique(host.step.astype(np.int64), return_inverse=True)
    n = number.size
    start = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(start, row, host.start)
    end = np.zeros(n, np.int64)
    np.maximum.at(end, row, host.end)
    busy = np.zeros(n, np.int64)
    np.add.at(busy, row, host.end - host.start - blocked(trace, host)[0])

    op_row = np.minimum(np.searchsorted(number, step), n - 1)
    known = number[op_row] == step
    device = union_by(op_row[known], operations.start[known], operations.end[known], n)
    idle = np.zeros(n, np.int64)
    ends_known = known[gaps.operation]
    np.add.at(idle, op_row[gaps.operation[ends_known]], gaps.length[ends_known])

    linked = known & (launches >= 0)
    issued = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(issued, op_row[linked], trace.calls.start[launches[linked]])
    last = np.full(n, np.iinfo(np.int64).min)
    np.maximum.at(last, op_row[known], operations.end[known])
    early = np.concatenate(([False], issued[1:] < last[:-1]))
    return Steps(found, number, start, end, busy, device, idle, early)


def blocked(trace: Trace, host: Ranges) -> tuple[Int64, Int64]:
    """Return for each host range how long it waited for the device, and when the last wait in it ended (or 0)."""
    waits = synchronising(trace.names)[trace.calls.name] if len(trace.calls) else np.empty(0, np.bool_)
    length, last = np.zeros(len(host), np.int64), np.zeros(len(host), np.int64)
    for thread in np.unique(host.thread):
        rows = np.flatnonzero(host.thread == thread)
        rows = rows[np.argsort(host.start[rows], kind="stable")]
        calls = np.flatnonzero(waits & (trace.calls.thread == thread))
        waiting = intervals.union(trace.calls.start[calls], trace.calls.end[calls])
        shared = intervals.overlaps(Intervals(host.start[rows], host.end[rows]), waiting)
        np.add.at(length, rows[shared.left], shared.end - shared.start)
        np.maximum.at(last, rows[shared.left], shared.end)
    return length, last


def union_by(group: Int64, start: Int64, end: Int64, groups: int) -> Int64:
    """Return the time covered within each group: groups are laid one behind the other, then joined once."""
    low = np.full(groups, np.iinfo(np.int64).max)
    high = np.full(groups, np.iinfo(np.int64).min)
    np.minimum.at(low, group, start)
    np.maximum.at(high, group, end)
    span = np.where(high > low, high - low + 1, 1)  # one more, so that groups never touch
    offset = np.cumsum(span) - span
    shift = offset[group] - low[group]
    covered = intervals.union(start + shift, end + shift)
    measure = np.zeros(groups, np.int64)
    np.add.at(measure, np.searchsorted(offset, covered.start, "right") - 1, covered.length)
    return measure
