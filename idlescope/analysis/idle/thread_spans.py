"""Divide times of one thread by the spans that were open: innermost phase, and innermost range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
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
    """What is left of some times of a thread when those in its spans are charged."""

    steps: Labelled  # when nothing within a step's span was open, by the step's label
    waits: Labelled  # waits for other processes or threads
    rest: Intervals  # nothing was open


class _Spans(NamedTuple):
    """Which of some ranges are spans of phases, and which of whole steps."""

    phases: Bool  # or waits for another process or thread
    steps: Bool


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


def inside(
    view: DeviceView,
    thread: int,
    times: Intervals,
    labels: HostLabels,
    charge: Callable[[Layer], None],
) -> Inside:
    """Divide disjoint times of a thread by what was open on it.

    What is charged to a label goes to `charge`, stretch by stretch: of a million ranges at once it
    would be most of an analysis' memory.
    """
    ranges = view.trace.ranges
    rows = np.flatnonzero((ranges.thread == thread) & (ranges.kind <= RangeKind.FRAME))
    # What was open outside of these times only says nothing of them.
    rows = rows[intervals.meets(ranges.start[rows], ranges.end[rows], times)]
    spans = _spans(view, rows, labels)
    phases = _phases(view, rows, spans)
    pieces_in_turn = (
        _by_phase_only(times, phases)
        if spans.phases.all()
        else _by_innermost(view, rows, times, phases)
    )
    covered: list[Intervals] = []
    steps: defaultdict[str, list[Intervals]] = defaultdict(list)
    waits: defaultdict[str, list[Intervals]] = defaultdict(list)
    for pieces in pieces_in_turn:
        covered.append(_joined([pieces.times]))
        charge(_charged(view, pieces, labels, steps, waits))
        del pieces  # not beside the next ones
    rest = intervals.subtract(times, _joined(covered))
    return Inside(_labelled(steps), _labelled(waits), rest)


def _charged(
    view: DeviceView,
    pieces: _Pieces,
    labels: HostLabels,
    steps: defaultdict[str, list[Intervals]],
    waits: defaultdict[str, list[Intervals]],
) -> Layer:
    """Return what pieces are charged to; add those of a step's own and of waits to their texts."""
    name_count = len(view.trace.names)
    keys, label = indexed((pieces.phase + 1) * name_count + pieces.name)
    phases, names = keys // name_count - 1, keys % name_count
    texts = tuple(map(labels.within, phases.tolist(), names.tolist()))

    is_wait = np.isin(phases, list(labels.waits))
    of_step = view.names.named(STEP)[phases] & (phases >= 0)
    is_step = of_step & (phases == names) & ~is_wait
    start, end = pieces.times
    for chosen, by_text in ((is_step, steps), (is_wait, waits)):
        for code in np.flatnonzero(chosen).tolist():
            is_own = label == code
            own = Intervals(start[is_own], end[is_own])
            by_text[texts[code]].append(_joined([own]))
    kept_apart = is_wait | is_step
    charged = ~kept_apart[label]
    return Layer(start[charged], end[charged], label[charged], texts)


def _labelled(by_text: defaultdict[str, list[Intervals]]) -> Labelled:
    return [(text, _joined(parts)) for text, parts in by_text.items() if text]


def _joined(parts: Sequence[Intervals]) -> Intervals:
    """Return disjoint times in order, those that touch joined."""
    none = np.empty(0, np.int64)
    start = np.concatenate([none, *(part.start for part in parts)])
    end = np.concatenate([none, *(part.end for part in parts)])
    order = np.argsort(start, kind="stable")
    return intervals.join(Intervals(start[order], end[order]), 1)


def _spans(view: DeviceView, rows: Int64, labels: HostLabels) -> _Spans:
    """Return which ranges are spans of phases, and of steps."""
    ranges, names = view.trace.ranges, view.names
    name = ranges.name[rows]
    telling = (ranges.kind[rows] == RangeKind.ANNOTATION) | (
        ranges.kind[rows] == RangeKind.FRAME
    )
    is_phase = telling & (names.phase[name] >= 0)
    is_step = is_phase & names.named(STEP)[name]
    is_phase &= ~is_step
    return _Spans(is_phase | _waiting(view, rows, labels), is_step)


def _phases(view: DeviceView, rows: Int64, spans: _Spans) -> _Owned:
    """Return when which phase was innermost; a step's span only where no other phase is open."""
    phases = _innermost(view, rows[spans.phases])
    steps = _innermost(view, rows[spans.steps])
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
    outermost = np.zeros(rows.size, np.bool_)
    outermost[waiting[intervals.outermost(start, end)]] = True
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


def _of_stretch(disjoint: Intervals, low: np.int64, high: np.int64) -> slice:
    """Return which disjoint intervals, in order, share time with [low, high)."""
    first = np.searchsorted(disjoint.end, low, "right")
    after = np.searchsorted(disjoint.start, high, "left")
    return slice(int(first), int(after))


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


def _by_phase_only(times: Intervals, phases: _Owned) -> Iterator[_Pieces]:
    """Divide disjoint times by phase where every range is a span of one, stretch by stretch.

    What lies in no range is left out.
    """
    for first in range(0, phases.name.size, intervals.CHUNK):
        some = slice(first, first + intervals.CHUNK)
        start, end = phases.times.start[some], phases.times.end[some]
        at_times = _of_stretch(times, start[0], end[-1])
        times_here = Intervals(times.start[at_times], times.end[at_times])
        shared = intervals.overlaps(times_here, Intervals(start, end))
        name = phases.name[some][shared.right]
        yield _Pieces(shared.intervals, name, name)


def _by_innermost(
    view: DeviceView, rows: Int64, times: Intervals, phases: _Owned
) -> Iterator[_Pieces]:
    """Divide disjoint times by phase, and by the innermost of all ranges, stretch by stretch.

    What lies in no range is left out.
    """
    ranges = view.trace.ranges
    name = ranges.name[rows]
    for pieces, owner in intervals.innermost_in_turn(ranges.start[rows], ranges.end[rows]):
        if pieces.start.size:
            phased = _phased_within(times, phases, pieces.start[0], pieces.end[-1])
            yield _shared(phased, _Owned(pieces, name[owner].astype(np.int64)))
        del pieces, owner  # not beside the next ones


def _phased_within(
    times: Intervals, phases: _Owned, low: np.int64, high: np.int64
) -> _Owned:
    """Divide those of some disjoint times that lie in a stretch by the innermost phase."""
    at_times = _of_stretch(times, low, high)
    at_phases = _of_stretch(phases.times, low, high)
    phase_start, phase_end = phases.times
    phases_here = Intervals(phase_start[at_phases], phase_end[at_phases])
    times_here = Intervals(times.start[at_times], times.end[at_times])
    return _by_phase(times_here, _Owned(phases_here, phases.name[at_phases]))


def _shared(phased: _Owned, innermost: _Owned) -> _Pieces:
    """Return the parts of times in which both a phase, or none, and a range are innermost."""
    shared = intervals.overlaps(phased.times, innermost.times)
    return _Pieces(
        times=shared.intervals,
        phase=phased.name[shared.left],
        name=innermost.name[shared.right],
    )
