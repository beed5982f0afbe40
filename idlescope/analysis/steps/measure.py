"""What each step cost: host, device and exposed idle time, and whether it was launched early."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.steps.find import Division
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import Operations, Ranges, Trace
from idlescope.trace.table import Bool, Int64

# This share of a step's time on the device may be launched before the step itself counts as launched.
PREPARATION = 0.05


@dataclass(frozen=True)
class Steps:
    """One row a step, in order. Times in nanoseconds."""

    found: str  # how: "recorded", "<engine> spans", "ProfilerStep#", "graph launches", "waiting calls" or "none"
    number: Int64
    start: Int64  # first host work for the step
    end: Int64  # last host work for the step
    host: Int64  # time the host worked for the step, not counting calls that wait for the device
    device: Int64  # union of the step's operations
    idle: Int64  # gaps ended by an operation of the step: the idle time that it exposed
    early: Bool  # launched before the previous step ended on the device: real asynchrony; False for the first
    operations: Int64  # how many ran for it
    launched: (
        Int64  # start of its first launch call that matters; the largest int64 where none is known
    )
    done: Int64  # end of its last operation on the device; the smallest int64 where there is none

    def __len__(self) -> int:
        return len(self.number)

    def within(self, low: int, high: int) -> Steps:
        """Return the steps that worked on the host or the device in [low, high)."""
        first = np.minimum(self.start, self.launched)
        last = np.maximum(self.end, self.done)
        rows = np.flatnonzero((first < high) & (last > low))
        return Steps(self.found, *(getattr(self, f.name)[rows] for f in fields(self)[1:]))


def measure(view: DeviceView, division: Division, gaps: Gaps) -> Steps:
    """Return the figures of each step; `gaps` are those of the window that is looked at."""
    trace, operations, launches = view.trace, view.operations, view.launches
    host, step = division.host, division.step
    number, row = np.unique(host.step.astype(np.int64), return_inverse=True)
    n = number.size
    start = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(start, row, host.start)
    end = np.zeros(n, np.int64)
    np.maximum.at(end, row, host.end)
    busy = np.zeros(n, np.int64)
    np.add.at(busy, row, host.end - host.start - blocked(trace, host, view.waits)[0])

    op_row = np.minimum(np.searchsorted(number, step), n - 1)
    known = (number[op_row] == step) if n else np.zeros(step.size, np.bool_)
    device = union_by(op_row[known], operations.start[known], operations.end[known], n)
    idle = np.zeros(n, np.int64)
    ended = gaps.operation >= 0
    ended[ended] = known[gaps.operation[ended]]
    np.add.at(idle, op_row[gaps.operation[ended]], gaps.length[ended])

    linked = known & (launches >= 0)
    issued = _launched(
        operations.take(linked), op_row[linked], trace.calls.start[launches[linked]], n
    )
    done = np.full(n, np.iinfo(np.int64).min)
    np.maximum.at(done, op_row[known], operations.end[known])
    early = np.concatenate(([False], issued[1:] < done[:-1]))[:n]
    count = np.bincount(op_row[known], minlength=n).astype(np.int64)
    return Steps(division.found, number, start, end, busy, device, idle, early, count, issued, done)


def _launched(operations: Operations, row: Int64, issued: Int64, n: int) -> Int64:
    """Return when each of n steps was launched: when, in the order of launches, a share of its kernels' time had been.

    The first few may be preparation, such as the check of a flag, and do not say that the forward pass was launched.
    """
    compute = is_compute(operations)
    has = np.zeros(n, np.bool_)
    has[row[compute]] = True
    used = np.flatnonzero(compute | ~has[row])  # a step without kernels goes by its copies
    used = used[np.lexsort((issued[used], row[used]))]
    row, issued, length = row[used], issued[used], (operations.end - operations.start)[used]
    total = np.bincount(row, length, n)
    before = np.cumsum(total) - total
    so_far = np.cumsum(length) - before[row]
    matters = so_far >= PREPARATION * total[row]
    launched = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(launched, row[matters], issued[matters])
    return launched


def blocked(trace: Trace, host: Ranges, waits: Bool) -> tuple[Int64, Int64]:
    """Return for each host range how long it waited for the device, and when the last wait in it ended (or 0)."""
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
    if not groups:
        return np.empty(0, np.int64)
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
