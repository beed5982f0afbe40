"""Name time in which nothing was recorded by what precedes and follows it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.host_labels import BETWEEN, HostLabels
from idlescope.analysis.idle.thread_spans import Labelled
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct
from idlescope.trace.model import RangeKind
from idlescope.trace.names.engines import IDLE, STEP
from idlescope.trace.table import Bool, Int64

# A pair of neighbours that holds less of the host's time says no more than the step.
MATTERS = 0.02


class _Neighbours(NamedTuple):
    """The rows of what ended last before, and of what starts first after, some times; -1: none."""

    before: Int64
    after: Int64


def within_steps(
    view: DeviceView, thread: int, times: Intervals, labels: HostLabels, host_ns: int
) -> Labelled:
    """Divide a step's own time by the operators and calls around it.

    The label is "between X and Y", and empty where a pair holds less than `MATTERS` of `host_ns`,
    or where what precedes or follows is not within the same step.
    """
    ranges, calls = view.trace.ranges, view.trace.calls
    of_thread = (ranges.thread == thread) & (ranges.kind <= RangeKind.FRAME)
    is_step = view.names.named(STEP)[ranges.name] & (ranges.kind != RangeKind.OPERATOR)
    rows, own_calls = (
        np.flatnonzero(of_thread & ~is_step),
        np.flatnonzero(calls.thread == thread),
    )
    start = np.concatenate((ranges.start[rows], calls.start[own_calls]))
    end = np.concatenate((ranges.end[rows], calls.end[own_calls]))
    # What lies within another ended before it did, and began after it.
    outermost = intervals.outermost(start, end)
    start, end = start[outermost], end[outermost]
    name = np.concatenate((ranges.name[rows], calls.name[own_calls]))[outermost]

    # Calls within the step's own time divide it: each piece lies between two of them.
    in_call = intervals.union(calls.start[own_calls], calls.end[own_calls])
    during_calls = intervals.overlaps(times, in_call).intervals
    pieces = intervals.subtract(times, intervals.join(during_calls, 1))
    around = _neighbours(start, end, pieces)
    steps = np.flatnonzero(of_thread & is_step)
    step = intervals.innermost_at(ranges.start[steps], ranges.end[steps], pieces.start)
    inside = (around.before >= 0) & (around.after >= 0) & (step >= 0)
    inside &= start[around.before] >= ranges.start[steps[step]]
    inside &= end[around.after] <= ranges.end[steps[step]]

    names = len(view.trace.names)
    key = np.where(inside, name[around.before] * np.int64(names) + name[around.after], -1)
    found: Labelled = [("", during_calls)]
    for pair in distinct(key).tolist():
        of_pair = key == pair
        own = Intervals(pieces.start[of_pair], pieces.end[of_pair])
        label = ""
        if pair >= 0 and own.measure >= MATTERS * host_ns:
            before, after = divmod(pair, names)
            label = f"{BETWEEN}{labels.shown(before)} and {labels.shown(after)}"
        found.append((label, own))
    return found


def between_phases(view: DeviceView, thread: int, times: Intervals) -> Labelled:
    """Divide time in no span by the phases around it: "between forward and schedule".

    The label is empty where none precedes or none follows. A wait for the device counts as a phase
    between two spans of one and the same.
    """
    ranges, names = view.trace.ranges, view.names
    spans = _phases(view, thread)
    if not times.start.size or not spans.any():
        return [("", times)]
    rows = np.flatnonzero(spans)
    around = _neighbours(ranges.start[rows], ranges.end[rows], times)
    known = (around.before >= 0) & (around.after >= 0)
    count = len(names.labels)
    before = names.phase[ranges.name[rows[around.before]]].astype(np.int64)
    after = names.phase[ranges.name[rows[around.after]]].astype(np.int64)
    waited = _wait_between(view, thread, ranges.end[rows[around.before]], times.start)
    waited = np.where(before == after, waited, -1)
    key = np.where(known, ((waited + 1) * count + before) * count + after, -1)
    found: Labelled = []
    for pair in distinct(key).tolist():
        of_pair = key == pair
        label = ""
        if pair >= 0:
            wait, both = divmod(pair, count * count)
            first, last = (names.labels[code] for code in divmod(both, count))
            first = view.trace.names[wait - 1] if wait else first
            label = f"{BETWEEN}{first} and {last}"
        found.append((label, Intervals(times.start[of_pair], times.end[of_pair])))
    return found


def _phases(view: DeviceView, thread: int) -> Bool:
    """Return which ranges of a thread are spans of a phase, but those without demand."""
    ranges, names = view.trace.ranges, view.names
    said = (names.phase >= 0) & ~names.named(IDLE)
    telling = (ranges.kind == RangeKind.ANNOTATION) | (ranges.kind == RangeKind.FRAME)
    telling &= (ranges.thread == thread) & (ranges.end > ranges.start)
    return np.asarray(telling & said[ranges.name], np.bool_)


def _wait_between(view: DeviceView, thread: int, after: Int64, before: Int64) -> Int64:
    """Return the name of the last call that waited for the device between two times; -1: none."""
    calls = view.trace.calls
    rows = np.flatnonzero(view.waits & (calls.thread == thread) & (calls.end > calls.start))
    rows = rows[np.argsort(calls.end[rows], kind="stable")]
    if not rows.size:
        return np.full(after.size, -1, np.int64)
    last = np.searchsorted(calls.end[rows], before, "right") - 1
    between = (last >= 0) & (calls.start[rows[last]] >= after)
    return np.where(between, calls.name[rows[last]], -1).astype(np.int64)


def _neighbours(start: Int64, end: Int64, times: Intervals) -> _Neighbours:
    """Return what ended last before each time, what starts first after; of equals the longest."""
    by_end = intervals.order_by(end, -start)
    before = np.searchsorted(end[by_end], times.start, "right") - 1
    by_start = intervals.order_by(start, -end)
    after = np.searchsorted(start[by_start], times.end, "left")
    return _Neighbours(
        before=np.where(before >= 0, np.append(by_end, -1)[before], -1),
        after=np.append(by_start, -1)[after],
    )
