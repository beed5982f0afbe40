"""Steps of the batching loop: host, device and exposed idle time of each, and whether it was launched early.

A step is one iteration of the loop: one forward pass, and what the host does for it. Where a recording does not name
them, steps are found, in this order, by the spans of a known engine, torch.profiler's `ProfilerStep#`, the launches of
CUDA graphs, or the rhythm of the calls that wait for the device; an operation belongs to the step in which it was
launched.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.intervals import Intervals
from idlescope.trace.model import Operations, RangeKind, Ranges, Trace
from idlescope.trace.names.calls import GRAPH_LAUNCH, LAUNCH, matching
from idlescope.trace.names.engines import (
    PROFILER_STEP,
    STEP_MARKERS,
    WHOLE_FORWARD,
    WORKING,
    Phases,
)
from idlescope.trace.table import Bool, Int64

RECORDED = "recorded"  # how steps of our own recordings are found
ENOUGH = 3  # launches or waits that make a rhythm
PREPARATION = (
    0.05  # of a step's time on the device may be launched before the step itself counts as launched
)


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


@dataclass(frozen=True)
class Division:
    """The host's time, divided into steps, before anything is measured."""

    found: str
    host: Ranges  # `step` is the number of the step that each range is host work for
    step: Int64  # step of each operation of the device; -1: none


def find(
    trace: Trace, process: int, operations: Operations, launches: Int64, waits: Bool, phases: Phases
) -> Division:
    """Return how the work of one device of a process divides into steps.

    `operations` are that device's, sorted by start; `launches` is their `link`; `waits` are the calls that wait.
    """
    ranges = trace.ranges.take(
        (trace.ranges.kind == RangeKind.ANNOTATION) | (trace.ranges.step >= 0)
    )
    ranges = ranges.take(trace.threads_of(process)[ranges.thread])
    host = ranges.take(ranges.step >= 0)
    if len(host) and (operations.step >= 0).any():
        return Division(RECORDED, host, operations.step.astype(np.int64))
    found, host = _by_spans(trace, ranges, phases)
    if not len(host):
        found, host = _by_profiler(trace, ranges)
    if not len(host):
        found, host = _by_calls(trace, launches, waits)
    host = host.take(np.argsort(host.start, kind="stable"))
    return Division(found, host, _step_of_launch(trace, host, launches))


def _by_spans(trace: Trace, ranges: Ranges, phases: Phases) -> tuple[str, Ranges]:
    """Return a range a step, each from one outermost span of the engine's first phase to the next."""
    for marker in (*STEP_MARKERS, *(["forward"] if phases.engine in WHOLE_FORWARD else [])):
        spans = ranges.take(phases.named(marker)[ranges.name]) if len(ranges) else ranges
        if not len(spans):
            continue
        thread = int(np.bincount(spans.thread).argmax())
        spans = spans.take(spans.thread == thread)
        spans = spans.take(np.lexsort((-spans.end, spans.start)))
        reach = np.maximum.accumulate(spans.end)
        outer = _leading_to_work(
            spans.start[np.concatenate(([True], spans.start[1:] >= reach[:-1]))], ranges, phases
        )
        phase = ranges.take((phases.phase[ranges.name] >= 0) & (ranges.thread == thread))
        calls = trace.calls
        launched = calls.end[matching(LAUNCH, trace.names)[calls.name] & (calls.thread == thread)]
        last = max(int(phase.end.max()), int(launched.max(initial=0)))
        return f"{phases.engine} spans", _from_each_to_the_next(outer, thread, last)
    return "none", Ranges.empty()


def _leading_to_work(starts: Int64, ranges: Ranges, phases: Phases) -> Int64:
    """Return the starts between which, and the next, work is put in hand: a schedule that finds none begins no step."""
    working = np.zeros(len(phases.phase), np.bool_)
    for name in WORKING:
        working |= phases.named(name)
    work = np.sort(ranges.start[working[ranges.name]])
    bounds = np.searchsorted(work, np.append(starts, np.iinfo(np.int64).max))
    leading = starts[bounds[1:] > bounds[:-1]]
    return leading if leading.size else starts


def _by_profiler(trace: Trace, ranges: Ranges) -> tuple[str, Ranges]:
    matches = [PROFILER_STEP.match(name) for name in trace.names]
    number = np.array([int(m[1]) if m else -1 for m in matches], np.int64)
    host = ranges.take(number[ranges.name] >= 0) if len(ranges) else ranges
    return ("ProfilerStep#" if len(host) else "none"), host.replace(step=number[host.name])


def _by_calls(trace: Trace, launches: Int64, waits: Bool) -> tuple[str, Ranges]:
    """Return a range a step, cut where waiting calls end between launches, or at the launches of graphs."""
    calls, made = trace.calls, launches[launches >= 0]
    if not made.size:
        return "none", Ranges.empty()
    thread = int(np.bincount(calls.thread[made]).argmax())
    mine = np.flatnonzero(calls.thread == thread)
    mine = mine[np.argsort(calls.start[mine], kind="stable")]
    launching = matching(LAUNCH, trace.names)[calls.name[mine]]
    graphs = mine[matching(GRAPH_LAUNCH, trace.names)[calls.name[mine]]]
    ends = np.sort(calls.end[waits])  # of any thread of the process: one may wait for the others
    starts = calls.start[graphs] if graphs.size >= ENOUGH else calls.start[mine[launching]]
    # the last wait between two launches, if any
    at = np.searchsorted(ends, starts, "right") - 1
    waited = (at >= 0) & (np.concatenate(([-1], at[:-1])) < at)
    waited[:1] = False  # a wait before the first launch ends no step
    if graphs.size >= ENOUGH:
        # launches with no wait between them are of one step, unless there are no waits at all
        cuts = ends[at[waited]] if waited.sum() + 1 >= ENOUGH else calls.end[graphs[:-1]]
        found = "graph launches"
    elif waited.sum() + 1 >= ENOUGH:
        cuts, found = ends[at[waited]], "waiting calls"
    else:
        return "none", Ranges.empty()
    low = int(calls.start[mine].min())
    return found, _from_each_to_the_next(
        np.concatenate(([low], cuts)), thread, int(calls.end[mine].max())
    )


def _from_each_to_the_next(starts: Int64, thread: int, last: int) -> Ranges:
    n = starts.size
    return Ranges.of(
        start=starts, end=np.concatenate((starts[1:], [max(last, int(starts[-1]))])), thread=np.full(n, thread),
        name=np.full(n, 0), kind=np.full(n, RangeKind.ANNOTATION), step=np.arange(n),
    )  # fmt: skip


def _step_of_launch(trace: Trace, host: Ranges, launches: Int64) -> Int64:
    known = launches >= 0
    at = np.full(launches.size, -1, np.int64)
    if len(host):
        issued = trace.calls.start[launches[known]]
        row = np.searchsorted(host.start, issued, "right") - 1
        inside = (row >= 0) & (issued < host.end[row])
        at[known] = np.where(inside, host.step[row], -1)
    return at


def measure(
    trace: Trace,
    operations: Operations,
    division: Division,
    launches: Int64,
    waits: Bool,
    gaps: Gaps,
) -> Steps:
    """Return the figures of each step; `gaps` are those of the window that is looked at."""
    host, step = division.host, division.step
    number, row = np.unique(host.step.astype(np.int64), return_inverse=True)
    n = number.size
    start = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(start, row, host.start)
    end = np.zeros(n, np.int64)
    np.maximum.at(end, row, host.end)
    busy = np.zeros(n, np.int64)
    np.add.at(busy, row, host.end - host.start - blocked(trace, host, waits)[0])

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
