"""What the launching thread was doing while the device had nothing to run: `host` idle divided, adding up exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.causes import Gaps
from idlescope.analysis.intervals import Intervals
from idlescope.trace.model import Int64, RangeKind, Trace
from idlescope.trace.phases import phase_of, synchronising

PROFILER = "profiler overhead"
COLLECTION = "garbage collection"
NO_DEMAND = "no demand"
UNTRACED = "untraced"
CALL_PREFIX = "call: "
RANGE_PREFIX = "range: "


class Layer(NamedTuple):
    """Spans of one kind of work with the label that each is charged to."""

    start: Int64
    end: Int64
    label: Int64
    labels: tuple[str, ...]


def divide(trace: Trace, gaps: Gaps) -> dict[str, int]:
    """Return nanoseconds of `host` idle by what the launching thread did; the values add up to `gaps.host.sum()`.

    Each instant is charged once, to the first that fits: profiler overhead, a synchronising call (`call: NAME`),
    garbage collection, the innermost named phase of the engine, the innermost other range, operator or Python frame
    (`range: NAME`), no demand, untraced. Largest first.
    """
    totals: dict[str, int] = {}
    waiting = np.flatnonzero(gaps.host > 0)
    threads = trace.calls.thread[gaps.call[waiting]]
    for thread in np.unique(threads):
        rows = waiting[threads == thread]
        remaining = Intervals(gaps.start[rows], gaps.start[rows] + gaps.host[rows])
        for layer in _layers(trace, int(thread)):
            if not remaining.start.size:
                break
            pieces, owner = intervals.innermost(layer.start, layer.end)
            shared = intervals.overlaps(remaining, pieces)
            if shared.start.size:
                label = layer.label[owner[shared.right]]
                by_label = np.zeros(len(layer.labels), np.int64)
                np.add.at(by_label, label, shared.end - shared.start)
                for i in np.flatnonzero(by_label):
                    totals[layer.labels[i]] = totals.get(layer.labels[i], 0) + int(by_label[i])
                remaining = intervals.subtract(remaining, pieces)
        if rest := remaining.measure:
            totals[UNTRACED] = totals.get(UNTRACED, 0) + rest
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _layers(trace: Trace, thread: int) -> Iterator[Layer]:
    """Yield what a thread was doing, most telling first."""
    ranges, calls, names = trace.ranges, trace.calls, trace.names
    mine = ranges.thread == thread
    phase, phases = phase_of(names)
    range_phase = phase[ranges.name]

    def plain(rows: np.ndarray[tuple[int], np.dtype[np.bool_]], label: str) -> Layer:
        return Layer(ranges.start[rows], ranges.end[rows], np.zeros(int(rows.sum()), np.int64), (label,))

    yield plain(ranges.kind == RangeKind.OVERHEAD, PROFILER)  # written beside the threads, not within one
    blocked = (calls.thread == thread) & synchronising(names)[calls.name]
    yield Layer(calls.start[blocked], calls.end[blocked], calls.name[blocked].astype(np.int64),
                tuple(CALL_PREFIX + n for n in names))  # fmt: skip
    yield plain(mine & (ranges.kind == RangeKind.GARBAGE_COLLECTION), COLLECTION)
    named = mine & (range_phase >= 0) & (ranges.kind == RangeKind.ANNOTATION)
    yield Layer(ranges.start[named], ranges.end[named], range_phase[named].astype(np.int64), phases)
    other = mine & ~named & (ranges.kind <= RangeKind.FRAME)
    yield Layer(ranges.start[other], ranges.end[other], ranges.name[other].astype(np.int64),
                tuple(RANGE_PREFIX + n for n in names))  # fmt: skip
    yield plain(mine & (ranges.kind == RangeKind.NO_DEMAND), NO_DEMAND)
