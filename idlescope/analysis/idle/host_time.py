"""What the launching thread was doing while the device had nothing to run: `host` idle divided, adding up exactly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
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
    """Spans of one kind of work with the label that each is charged to."""

    start: Int64
    end: Int64
    label: Int64
    labels: tuple[str, ...]


def divide(view: DeviceView, gaps: Gaps) -> dict[str, int]:
    """Return nanoseconds of `host` idle by what the launching thread did; the values add up to `gaps.host.sum()`.

    Each instant is charged once, to the first that fits: profiler overhead, a waiting call (`call: NAME`), garbage
    collection, the innermost named phase of the engine (with its span's name where that says more), the innermost
    other range, operator or Python frame (`range: NAME`), no demand, untraced. Largest first.
    """
    by_label = divide_by(view, gaps, np.zeros(len(gaps), np.int64), 1)
    totals = {label: int(ns[0]) for label, ns in by_label.items()}
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def divide_by(view: DeviceView, gaps: Gaps, group: Int64, groups: int) -> dict[str, Int64]:
    """Return what `divide` does for each of several groups of gaps: by label, the nanoseconds of each group.

    `group` is that of each gap, from 0 to `groups` - 1.
    """
    trace = view.trace
    totals: dict[str, Int64] = {}
    waiting = np.flatnonzero(gaps.host > 0)
    threads = trace.calls.thread[gaps.call[waiting]]
    for thread in np.unique(threads):
        rows = waiting[threads == thread]
        remaining = Intervals(gaps.start[rows], gaps.start[rows] + gaps.host[rows])
        for layer in _layers(view, int(thread)):
            if not remaining.start.size:
                break
            of = group[np.searchsorted(gaps.start, remaining.start, "right") - 1]
            by_label = np.zeros((len(layer.labels), groups), np.int64)
            covered: list[Intervals] = []
            for pieces, owner in intervals.innermost_in_turn(layer.start, layer.end):
                shared = intervals.overlaps(remaining, pieces)
                if shared.start.size:
                    at = layer.label[owner[shared.right]], of[shared.left]
                    np.add.at(by_label, at, shared.end - shared.start)
                    covered.append(intervals.join(shared.intervals, 1))
            for i in np.flatnonzero(by_label.any(1)):
                totals[layer.labels[i]] = totals.get(layer.labels[i], 0) + by_label[i]
            if covered:
                done = Intervals(
                    np.concatenate([c.start for c in covered]),
                    np.concatenate([c.end for c in covered]),
                )
                remaining = intervals.subtract(remaining, intervals.join(done, 1))
        if remaining.start.size:
            of = group[np.searchsorted(gaps.start, remaining.start, "right") - 1]
            rest = np.zeros(groups, np.int64)
            np.add.at(rest, of, remaining.length)
            totals[UNTRACED] = totals.get(UNTRACED, 0) + rest
    return totals


def _layers(view: DeviceView, thread: int) -> Iterator[Layer]:
    """Yield what a thread was doing, most telling first."""
    trace, phases = view.trace, view.names
    ranges, calls, names = trace.ranges, trace.calls, trace.names
    mine = ranges.thread == thread

    def plain(rows: Bool, label: str) -> Layer:
        return Layer(
            ranges.start[rows], ranges.end[rows], np.zeros(int(rows.sum()), np.int64), (label,)
        )

    def named(rows: Bool, labels: tuple[str, ...]) -> Layer:
        return Layer(
            ranges.start[rows], ranges.end[rows], ranges.name[rows].astype(np.int64), labels
        )

    # a profiler writes its own work beside the threads, not within one: under a process that makes no calls, if any
    process = np.array([t.process for t in trace.threads], np.int64)
    foreign = np.setdiff1d(process[np.unique(calls.thread)], process[thread])
    overhead = (ranges.kind == RangeKind.OVERHEAD) & ~np.isin(process, foreign)[ranges.thread]
    yield plain(overhead, PROFILER)
    blocked = (calls.thread == thread) & view.waits
    yield Layer(calls.start[blocked], calls.end[blocked], calls.name[blocked].astype(np.int64),
                tuple(CALL_PREFIX + n for n in names))  # fmt: skip
    yield plain(mine & (ranges.kind == RangeKind.GARBAGE_COLLECTION), COLLECTION)
    annotated = mine & (ranges.kind == RangeKind.ANNOTATION)
    no_demand = annotated & phases.named(IDLE)[ranges.name]
    # a span around a whole step says less than what is within it
    phase = (
        annotated & (phases.phase[ranges.name] >= 0) & ~phases.named(STEP)[ranges.name] & ~no_demand
    )
    yield named(phase, tuple(phase_label(phases, i, n) for i, n in enumerate(names)))
    other = mine & ~phase & ~no_demand & (ranges.kind <= RangeKind.FRAME)
    whole = phases.named(STEP)
    yield named(
        other,
        tuple(
            phase_label(phases, i, n) if whole[i] else range_label(n) for i, n in enumerate(names)
        ),
    )
    yield plain(no_demand | (mine & (ranges.kind == RangeKind.NO_DEMAND)), NO_DEMAND)


def phase_label(phases: SpanNames, index: int, name: str) -> str:
    """Return what time in a phase is charged to: the phase, and its span's name where that says more."""
    code = int(phases.phase[index])
    if code < 0:
        return range_label(name)
    phase = phases.labels[code]
    if name.removeprefix("idlescope:") == phase:
        return phase
    # names of whole steps hold the batch's sizes, which would make a label of each step
    return f"{phase} ({_NUMBER.sub('N', name) if phase in (STEP, 'forward') else name})"


def range_label(name: str) -> str:
    """Return what time in another range is charged to."""
    return RANGE_PREFIX + ("ProfilerStep#" if PROFILER_STEP.match(name) else name)
