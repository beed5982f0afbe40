"""What the launching thread did while the device had nothing to run: `host` idle, divided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle import elsewhere, neighbours, thread_spans
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.host_labels import (
    CALL_PREFIX,
    NO_DEMAND,
    UNTRACED,
    HostLabels,
    phase_of,
)
from idlescope.analysis.idle.thread_spans import Layer
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct, without
from idlescope.trace.model import RangeKind
from idlescope.trace.names.calls import LAUNCH, matching
from idlescope.trace.table import Bool, Int64

PROFILER = "profiler overhead"
COLLECTION = "garbage collection"
SLOW_CALL_NS = 100_000  # a call of the runtime that waits for nothing takes microseconds


class _Charged(NamedTuple):
    """What a layer takes of the time that the layers before it left over."""

    by_label: Int64  # nanoseconds; a row per label, a column per group of gaps
    rest: Intervals


def divide_by(view: DeviceView, gaps: Gaps, groups: Groups) -> dict[str, Int64]:
    """Return `host` idle by what the launching thread did: by label, the ns of each group of gaps.

    The values add up to those of `gaps.host`. Each instant is charged once, to the first that fits:
    no demand, profiler overhead, a call that waits or is slow (`call: NAME`), garbage collection,
    the innermost named phase of the engine (with its span's name where that says more) and what ran
    within it (`PHASE › NAME`), the innermost range, operator or Python frame of no phase
    (`range: NAME`), a phase of the scheduler that the thread waits for, what precedes
    and follows (`step: between X and Y`, `between PHASE and PHASE`), untraced.
    """
    totals: dict[str, Int64] = {}
    gaps_of_host = np.flatnonzero(gaps.host > 0)
    threads = view.trace.calls.thread[gaps.call[gaps_of_host]]
    if not threads.size:
        return totals
    names = thread_spans.host_labels(view)
    for thread in distinct(threads):
        rows = gaps_of_host[threads == thread]
        start = gaps.start[rows]
        remaining = Intervals(start, start + gaps.host[rows])
        charging = _Charging(view, int(thread), gaps, groups, names, totals)
        charging.divide(remaining)
    return totals


class _Charging(Struct, frozen=True):
    """Charges the time of one thread to labels; `totals` is added to."""

    view: DeviceView
    thread: int
    gaps: Gaps
    groups: Groups
    names: HostLabels
    totals: dict[str, Int64]

    def divide(self, remaining: Intervals) -> None:
        """Charge all of some disjoint times in gaps, each instant once."""
        view, thread = self.view, self.thread
        remaining = self.through(_first_layers(view, thread), remaining)
        if not remaining.start.size:
            return
        inside = thread_spans.inside(view, thread, remaining, self.names, self.add_all)
        for label, times in inside.steps:
            self.neighbours(label, times)
        for label, times in inside.waits:
            self.add(label, self.through(elsewhere.layers(view, thread), times))

        remaining = self.through(elsewhere.layers(view, thread), inside.rest)
        for label, times in neighbours.between_phases(view, thread, remaining):
            self.add(label or UNTRACED, times)

    def neighbours(self, label: str, times: Intervals) -> None:
        """Charge a step's own time to what precedes and follows it, where that is much."""
        for pair, pieces in neighbours.within_steps(
            self.view, self.thread, times, self.names, int(self.gaps.host.sum())
        ):
            self.add(f"{phase_of(label)}: {pair}" if pair else label, pieces)

    def through(self, layers: Iterable[Layer], remaining: Intervals) -> Intervals:
        """Charge times to layers in turn; return what they leave over."""
        for layer in layers:
            if not remaining.start.size:
                break
            if not layer.start.size:
                continue
            by_label, remaining = _charge(layer, remaining, self.gaps, self.groups)
            for label in np.flatnonzero(by_label.any(1)):
                _add(self.totals, layer.labels[label], by_label[label])
        return remaining

    def add_all(self, layer: Layer) -> None:
        """Charge disjoint times, each to its label."""
        times = Intervals(layer.start, layer.end)
        group = _group_of(times, self.gaps, self.groups)
        cells = _cells(layer, layer.label, group, self.groups)
        by_label = cells.total(times.length).reshape(-1, self.groups.count)
        for label in np.flatnonzero(by_label.any(1)):
            _add(self.totals, layer.labels[label], by_label[label])

    def add(self, label: str, times: Intervals) -> None:
        """Charge times to a label."""
        if times.start.size:
            groups = Groups(_group_of(times, self.gaps, self.groups), self.groups.count)
            _add(self.totals, label, groups.total(times.length))


def _add(totals: dict[str, Int64], label: str, ns: Int64) -> None:
    totals[label] = totals[label] + ns if label in totals else ns


def _group_of(pieces: Intervals, gaps: Gaps, groups: Groups) -> Int64:
    """Return the group of the gap in which each piece lies."""
    if groups.count == 1:
        return np.zeros(pieces.start.size, np.int64)
    gap = np.searchsorted(gaps.start, pieces.start, "right") - 1
    return np.asarray(groups.row[gap], np.int64)


def _cells(layer: Layer, label: Int64, group: Int64, groups: Groups) -> Groups:
    """Return pieces by their label and the group of their gap: a row of groups for each label."""
    return Groups(label * groups.count + group, len(layer.labels) * groups.count)


def _charge(layer: Layer, remaining: Intervals, gaps: Gaps, groups: Groups) -> _Charged:
    """Charge the remaining time to the innermost spans of a layer."""
    by_cell = np.zeros(len(layer.labels) * groups.count, np.int64)
    group = _group_of(remaining, gaps, groups)
    covered: list[Intervals] = []
    for pieces, span in intervals.innermost_in_turn(layer.start, layer.end):
        shared = intervals.overlaps(remaining, pieces)
        if shared.start.size:
            label = layer.label[span[shared.right]]
            cells = _cells(layer, label, group[shared.left], groups)
            cells.add_to(by_cell, shared.end - shared.start)
            covered.append(intervals.join(shared.intervals, 1))
    by_label = by_cell.reshape(-1, groups.count)
    if not covered:
        return _Charged(by_label, remaining)
    charged = Intervals(
        np.concatenate([piece.start for piece in covered]),
        np.concatenate([piece.end for piece in covered]),
    )
    rest = intervals.subtract(remaining, intervals.join(charged, 1))
    return _Charged(by_label, rest)


def _first_layers(view: DeviceView, thread: int) -> Iterator[Layer]:
    """Yield what says more than any span that it lies in.

    Without a request nothing that the host does is work for one.
    """
    ranges = view.trace.ranges
    none = no_request(view)
    yield Layer(none.start, none.end, np.zeros(none.start.size, np.int64), (NO_DEMAND,))
    yield _labelled(view, _profiler_overhead(view, thread), PROFILER)
    yield _telling_calls(view, thread)
    collections = ranges.kind == RangeKind.GARBAGE_COLLECTION
    yield _labelled(view, collections & (ranges.thread == thread), COLLECTION)


def no_request(view: DeviceView) -> Intervals:
    """Return when our own recordings say that the process had no request: disjoint intervals."""
    ranges = view.trace.ranges
    said = np.flatnonzero(ranges.kind == RangeKind.NO_DEMAND)
    own = said[view.trace.threads_of(view.process)[ranges.thread[said]]]
    return intervals.union(ranges.start[own], ranges.end[own])


def _profiler_overhead(view: DeviceView, thread: int) -> Bool:
    """Return which ranges are the profiler's own work.

    A profiler writes its work beside the threads, not within one: under a process that makes no
    calls, if any. Only that of other processes that do make calls is left out.
    """
    trace = view.trace
    process = trace.process_of_thread
    calling = process[distinct(trace.calls.thread)]
    foreign = np.isin(process, without(calling, process[thread]))
    overhead = trace.ranges.kind == RangeKind.OVERHEAD
    return np.asarray(overhead & ~foreign[trace.ranges.thread], np.bool_)


def _telling_calls(view: DeviceView, thread: int) -> Layer:
    """Return the calls in which a thread waits for the device, or that are slow themselves.

    Each is charged to the call's name. A call that loads a module, or gets memory, is slow; it says
    more than the span that it lies in. What launches is not: its own time is the launch's.
    """
    trace, calls = view.trace, view.trace.calls
    slow = calls.end - calls.start >= SLOW_CALL_NS
    slow &= ~matching(LAUNCH, trace.names)[calls.name]
    rows = (view.waits | slow) & (calls.thread == thread)
    labels = tuple(CALL_PREFIX + name for name in trace.names)
    return Layer(
        calls.start[rows], calls.end[rows], calls.name[rows].astype(np.int64), labels
    )


def _labelled(view: DeviceView, rows: Bool, label: str) -> Layer:
    """Return a layer of some ranges, all charged to one label."""
    ranges = view.trace.ranges
    only_label = np.zeros(np.count_nonzero(rows), np.int64)
    return Layer(ranges.start[rows], ranges.end[rows], only_label, (label,))
