"""Divide times of one thread by the spans that were open: innermost phase, and innermost range."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.host_labels import HostLabels
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import indexed
from idlescope.trace.model import RangeKind
from idlescope.trace.names.engines import STEP
from idlescope.trace.names.waits import SHORTEST_WAIT, SPINNING, waiting_frames
from idlescope.trace.table import Bool, Int64

Labelled = list[tuple[str, Intervals]]


class Layer(NamedTuple):
    """Spans of one kind of host time, with the label that each is charged to."""

    start: Int64
    end: Int64
    label: Int64  # index into `labels`
    labels: tuple[str, ...]


class Inside(NamedTuple):
    """How some times of a thread divide by the spans that were open."""

    by_label: Layer  # disjoint times, and what each is charged to
    steps: Labelled  # when nothing within a step's span was open, by the step's label
    waits: Labelled  # waits for other processes or threads
    rest: Intervals  # nothing was open


class _Owned(NamedTuple):
    """Disjoint intervals in order, and the name of the span that owns each."""

    times: Intervals
    name: Int64  # index into Trace.names; -1: none


class _Pieces(NamedTuple):
    """Parts of some times: the phase's span and the innermost range in each, by their names."""

    times: Intervals
    phase: Int64  # index into Trace.names; -1: none
    name: Int64


def host_labels(view: DeviceView) -> HostLabels:
    """Return what the host's time in a trace is called."""
    ranges = view.trace.ranges
    is_used = np.zeros(len(view.trace.names), np.bool_)
    is_used[ranges.name[ranges.kind == RangeKind.FRAME]] = True
    used = np.flatnonzero(is_used).tolist()
    return HostLabels(view.trace, view.names, waiting_frames(view.trace.names, used))


def inside(view: DeviceView, thread: int, times: Intervals, labels: HostLabels) -> Inside:
    """Divide disjoint times of a thread by what was open on it."""
    ranges = view.trace.ranges
    rows = np.flatnonzero((ranges.thread == thread) & (ranges.kind <= RangeKind.FRAME))
    # What was open outside of these times only says nothing of them.
    rows = rows[intervals.meets(ranges.start[rows], ranges.end[rows], times)]
    if not rows.size:
        none = np.empty(0, np.int64)
        return Inside(Layer(none, none, none, ()), [], [], times)
    phased = _by_phase(times, _phases(view, rows, labels))
    pieces = _by_innermost(view, rows, phased)
    covered = intervals.join(_in_order(pieces.times), 1)
    rest = intervals.subtract(times, covered)
    return _named(view, pieces, labels, rest)


def _named(
    view: DeviceView, pieces: _Pieces, labels: HostLabels, rest: Intervals
) -> Inside:
    """Sort pieces of time by what they are called."""
    name_count = len(view.trace.names)
    key = (pieces.phase + 1) * name_count + pieces.name
    keys, label = indexed(key)
    phases, names = keys // name_count - 1, keys % name_count
    texts = tuple(map(labels.within, phases.tolist(), names.tolist()))

    is_wait = np.isin(phases, list(labels.waits))
    is_step = (phases >= 0) & (phases == names) & view.names.named(STEP)[phases] & ~is_wait
    charged = ~(is_wait | is_step)[label]
    start, end = pieces.times
    by_label = Layer(start[charged], end[charged], label[charged], texts)
    steps, waits = (
        _by_text(
            pieces, label, [text * taken for text, taken in zip(texts, chosen, strict=True)]
        )
        for chosen in (is_step.tolist(), is_wait.tolist())
    )
    return Inside(by_label, steps, waits, rest)


def _by_text(pieces: _Pieces, label: Int64, texts: list[str]) -> Labelled:
    """Return the pieces of each text of their labels, those that touch joined; "" is left out."""
    found: Labelled = []
    for text in dict.fromkeys(text for text in texts if text):
        is_text = np.array([other == text for other in texts], np.bool_)
        rows = is_text[label]
        own = Intervals(pieces.times.start[rows], pieces.times.end[rows])
        found.append((text, intervals.join(_in_order(own), 1)))
    return found


def _phases(view: DeviceView, rows: Int64, labels: HostLabels) -> _Owned:
    """Return when which phase was innermost; a step's span only where no other phase is open."""
    ranges, names = view.trace.ranges, view.names
    name = ranges.name[rows]
    telling = (ranges.kind[rows] == RangeKind.ANNOTATION) | (
        ranges.kind[rows] == RangeKind.FRAME
    )
    is_phase = telling & (names.phase[name] >= 0)
    is_step = is_phase & names.named(STEP)[name]
    is_phase &= ~is_step
    is_phase |= _waiting(view, rows, labels)
    phases = _innermost(view, rows[is_phase])
    steps = _innermost(view, rows[is_step])
    if not steps.name.size:
        return phases
    outside = intervals.subtract(steps.times, intervals.join(phases.times, 1))
    shared = intervals.overlaps(steps.times, outside)
    start = np.concatenate((phases.times.start, shared.start))
    end = np.concatenate((phases.times.end, shared.end))
    name_of_both = np.concatenate((phases.name, steps.name[shared.left]))
    order = np.argsort(start, kind="stable")
    return _Owned(Intervals(start[order], end[order]), name_of_both[order])


def _waiting(view: DeviceView, rows: Int64, labels: HostLabels) -> Bool:
    """Return which ranges are the outermost frames that wait for another process or thread."""
    ranges, names = view.trace.ranges, view.trace.names
    if not labels.waits:
        return np.zeros(rows.size, np.bool_)
    waits = np.zeros(len(names), np.bool_)
    spins = np.zeros(len(names), np.bool_)
    for index in labels.waits:
        waits[index] = True
        spins[index] = SPINNING.search(names[index]) is not None
    name = ranges.name[rows]
    lasting = ranges.end[rows] - ranges.start[rows] >= SHORTEST_WAIT
    is_frame = ranges.kind[rows] == RangeKind.FRAME
    waiting = np.flatnonzero(is_frame & waits[name] & (lasting | spins[name]))
    start, end = ranges.start[rows[waiting]], ranges.end[rows[waiting]]
    order = np.lexsort((-end, start))
    reach = np.maximum.accumulate(end[order])
    nested = order[1:][end[order][1:] <= reach[:-1]]
    outermost = np.zeros(rows.size, np.bool_)
    outermost[waiting] = True
    outermost[waiting[nested]] = False
    return outermost


def _innermost(view: DeviceView, rows: Int64) -> _Owned:
    """Return when which of some ranges was innermost."""
    ranges = view.trace.ranges
    start, end, name = ranges.start[rows], ranges.end[rows], ranges.name[rows]
    starts, ends, owners = [rows[:0]], [rows[:0]], [rows[:0]]
    for pieces, owner in intervals.innermost_in_turn(start, end):
        starts.append(pieces.start)
        ends.append(pieces.end)
        owners.append(name[owner].astype(np.int64))
    times = Intervals(np.concatenate(starts), np.concatenate(ends))
    return _Owned(times, np.concatenate(owners))


def _by_phase(times: Intervals, phases: _Owned) -> _Owned:
    """Divide disjoint times by the phase that was innermost."""
    if not phases.name.size:
        return _Owned(times, np.full(times.start.size, -1, np.int64))
    shared = intervals.overlaps(times, phases.times)
    outside = intervals.subtract(times, intervals.join(shared.intervals, 1))
    start = np.concatenate((shared.start, outside.start))
    end = np.concatenate((shared.end, outside.end))
    none = np.full(outside.start.size, -1, np.int64)
    name = np.concatenate((phases.name[shared.right], none))
    order = np.argsort(start, kind="stable")
    return _Owned(Intervals(start[order], end[order]), name[order])


def _by_innermost(view: DeviceView, rows: Int64, phased: _Owned) -> _Pieces:
    """Divide times further by the innermost of all ranges; what lies in none is left out."""
    ranges = view.trace.ranges
    empty = np.empty(0, np.int64)
    columns = [(empty, empty, empty, empty)]
    name = ranges.name[rows]
    for pieces, owner in intervals.innermost_in_turn(ranges.start[rows], ranges.end[rows]):
        shared = intervals.overlaps(phased.times, pieces)
        owners = name[owner[shared.right]].astype(np.int64)
        columns.append((shared.start, shared.end, phased.name[shared.left], owners))
    start, end, phase, innermost = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    return _Pieces(Intervals(start, end), phase, innermost)


def _in_order(times: Intervals) -> Intervals:
    order = np.argsort(times.start, kind="stable")
    return Intervals(times.start[order], times.end[order])
