"""What the launching thread did while the device had nothing to run: `host` idle, divided."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import RangeKind
from idlescope.trace.names.engines import IDLE, PROFILER_STEP, STEP
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64

PROFILER = "profiler overhead"
COLLECTION = "garbage collection"
NO_DEMAND = "no demand"
UNTRACED = "untraced"
CALL_PREFIX = "call: "
RANGE_PREFIX = "range: "
_NUMBER = re.compile(r"\d+")


class Layer(NamedTuple):
    """Spans of one kind of host time, with the label that each is charged to."""

    start: Int64
    end: Int64
    label: Int64  # index into `labels`
    labels: tuple[str, ...]


class _Charged(NamedTuple):
    """What a layer takes of the time that the layers before it left over."""

    by_label: Int64  # nanoseconds; a row per label, a column per group of gaps
    rest: Intervals


def divide(view: DeviceView, gaps: Gaps) -> dict[str, int]:
    """Return the nanoseconds of `host` idle by what the launching thread did, largest first.

    The values add up to `gaps.host.sum()`. Each instant is charged once, to the first that fits:
    profiler overhead, a waiting call (`call: NAME`), garbage collection, the innermost named phase
    of the engine (with its span's name where that says more), the innermost other range, operator
    or Python frame (`range: NAME`), no demand, untraced.
    """
    one_group = Groups(np.zeros(len(gaps), np.int64), 1)
    by_label = divide_by(view, gaps, one_group)
    totals = {label: int(ns[0]) for label, ns in by_label.items()}
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def divide_by(view: DeviceView, gaps: Gaps, groups: Groups) -> dict[str, Int64]:
    """Return what `divide` does for groups of gaps: by label, the nanoseconds of each group."""
    totals: dict[str, Int64] = {}
    gaps_of_host = np.flatnonzero(gaps.host > 0)
    threads = view.trace.calls.thread[gaps.call[gaps_of_host]]
    for thread in np.unique(threads):
        rows = gaps_of_host[threads == thread]
        start = gaps.start[rows]
        remaining = Intervals(start, start + gaps.host[rows])
        for layer in _layers(view, int(thread)):
            if not remaining.start.size:
                break
            by_label, remaining = _charge(layer, remaining, gaps, groups)
            for label in np.flatnonzero(by_label.any(1)):
                _add(totals, layer.labels[label], by_label[label])
        if remaining.start.size:
            untraced = Groups(_group_of(remaining, gaps, groups), groups.count)
            _add(totals, UNTRACED, untraced.total(remaining.length))
    return totals


def _add(totals: dict[str, Int64], label: str, ns: Int64) -> None:
    totals[label] = totals[label] + ns if label in totals else ns


def _group_of(pieces: Intervals, gaps: Gaps, groups: Groups) -> Int64:
    """Return the group of the gap in which each piece lies."""
    gap = np.searchsorted(gaps.start, pieces.start, "right") - 1
    return np.asarray(groups.row[gap], np.int64)


def _charge(layer: Layer, remaining: Intervals, gaps: Gaps, groups: Groups) -> _Charged:
    """Charge the remaining time to the innermost spans of a layer."""
    by_label = np.zeros((len(layer.labels), groups.count), np.int64)
    group = _group_of(remaining, gaps, groups)
    covered: list[Intervals] = []
    for pieces, span in intervals.innermost_in_turn(layer.start, layer.end):
        shared = intervals.overlaps(remaining, pieces)
        if shared.start.size:
            label = layer.label[span[shared.right]]
            np.add.at(by_label, (label, group[shared.left]), shared.end - shared.start)
            covered.append(intervals.join(shared.intervals, 1))
    if not covered:
        return _Charged(by_label, remaining)
    charged = Intervals(
        np.concatenate([piece.start for piece in covered]),
        np.concatenate([piece.end for piece in covered]),
    )
    rest = intervals.subtract(remaining, intervals.join(charged, 1))
    return _Charged(by_label, rest)


def _layers(view: DeviceView, thread: int) -> Iterator[Layer]:
    """Yield what a thread was doing, most telling first."""
    ranges, names = view.trace.ranges, view.names
    of_thread = ranges.thread == thread
    annotations = of_thread & (ranges.kind == RangeKind.ANNOTATION)
    is_idle = names.named(IDLE)
    no_demand = annotations & is_idle[ranges.name]

    yield _labelled(view, _profiler_overhead(view, thread), PROFILER)
    yield _waiting_calls(view, thread)
    collections = of_thread & (ranges.kind == RangeKind.GARBAGE_COLLECTION)
    yield _labelled(view, collections, COLLECTION)

    # A span around a whole step says less than what is within it.
    has_phase = names.phase >= 0
    whole_step = names.named(STEP)
    within_step = has_phase & ~whole_step & ~is_idle
    phases = annotations & within_step[ranges.name]
    yield _by_name(view, phases, _phase_labels(view, has_phase))

    others = of_thread & (ranges.kind <= RangeKind.FRAME)
    others &= ~phases
    others &= ~no_demand
    yield _by_name(view, others, _phase_labels(view, whole_step))

    no_request = of_thread & (ranges.kind == RangeKind.NO_DEMAND)
    yield _labelled(view, no_demand | no_request, NO_DEMAND)


def _profiler_overhead(view: DeviceView, thread: int) -> Bool:
    """Return which ranges are the profiler's own work.

    A profiler writes its work beside the threads, not within one: under a process that makes no
    calls, if any. Only that of other processes that do make calls is left out.
    """
    trace = view.trace
    process = np.array([thread.process for thread in trace.threads], np.int64)
    calling = process[np.unique(trace.calls.thread)]
    foreign = np.isin(process, np.setdiff1d(calling, process[thread]))
    overhead = trace.ranges.kind == RangeKind.OVERHEAD
    return np.asarray(overhead & ~foreign[trace.ranges.thread], np.bool_)


def _waiting_calls(view: DeviceView, thread: int) -> Layer:
    """Return the calls in which a thread waits for the device, each charged to the call's name."""
    calls = view.trace.calls
    rows = view.waits & (calls.thread == thread)
    labels = tuple(CALL_PREFIX + name for name in view.trace.names)
    return Layer(calls.start[rows], calls.end[rows], calls.name[rows].astype(np.int64), labels)


def _labelled(view: DeviceView, rows: Bool, label: str) -> Layer:
    """Return a layer of some ranges, all charged to one label."""
    ranges = view.trace.ranges
    only_label = np.zeros(np.count_nonzero(rows), np.int64)
    return Layer(ranges.start[rows], ranges.end[rows], only_label, (label,))


def _by_name(view: DeviceView, rows: Bool, labels: tuple[str, ...]) -> Layer:
    """Return a layer of some ranges; `labels` has one for each name of the trace."""
    ranges = view.trace.ranges
    name = ranges.name[rows].astype(np.int64)
    return Layer(ranges.start[rows], ranges.end[rows], name, labels)


def _phase_labels(view: DeviceView, by_phase: Bool) -> tuple[str, ...]:
    """Return for each name what time in a range of it is charged to: by phase, or by its name."""
    return tuple(
        phase_label(view.names, index, name) if by_phase[index] else range_label(name)
        for index, name in enumerate(view.trace.names)
    )


def phase_label(names: SpanNames, index: int, name: str) -> str:
    """Return what time in a span is charged to: its phase, with its name where that says more.

    `index` is that of the name in the trace. A name without a phase is charged as `range_label`
    says.
    """
    code = int(names.phase[index])
    if code < 0:
        return range_label(name)
    phase = names.labels[code]
    if name.removeprefix("idlescope:") == phase:
        return phase
    # Names of whole steps hold the batch's sizes, which would make a label of each step.
    if phase in (STEP, "forward"):
        name = _NUMBER.sub("N", name)
    return f"{phase} ({name})"


def range_label(name: str) -> str:
    """Return what time in a range without a phase is charged to."""
    return RANGE_PREFIX + ("ProfilerStep#" if PROFILER_STEP.match(name) else name)
