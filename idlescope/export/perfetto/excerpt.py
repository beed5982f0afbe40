"""The stretch of a Trace around its worst gap: small enough to stand in a report."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto import writer
from idlescope.export.perfetto.times import Span, extent, time_offset
from idlescope.trace.model import Trace
from idlescope.trace.table import Int64

MAX_EVENTS = 6000  # of a hundred bytes as JSON, some fifteen packed: about 100 kB


class Excerpt(NamedTuple):
    """A packed piece of a trace, and what of it to show first: ns on the packed file's clock."""

    data: bytes  # Chrome JSON, gzipped
    start: int
    end: int


def packed(trace: Trace, result: DeviceResult, max_events: int = MAX_EVENTS) -> Excerpt:
    """Return the piece of a Trace around the longest gap of a device, of about so many records.

    `result` is of an analysis of that trace. Where the device has no gap, the piece is from the
    middle of its window.
    """
    piece = cut(trace, result, worst_gap(result), max_events)
    start, end = view(piece, result)
    return Excerpt(writer.packed(piece, [result]), start, end)


def worst_gap(result: DeviceResult) -> Span:
    """Return a device's longest gap; the instant in the middle of its window where it has none."""
    gaps = result.gaps
    if not len(gaps):
        middle = sum(result.occupancy.window) // 2
        return Span(middle, middle)
    longest = int(gaps.length.argmax())
    return Span(int(gaps.start[longest]), int(gaps.end[longest]))


def view(trace: Trace, result: DeviceResult) -> Span:
    """Return what to show of a written Trace: the worst gap in the middle, in ns of the file.

    On either side, a step and at least one and a half times the gap. The view lies within the
    trace: Perfetto takes no other.
    """
    gap = worst_gap(result)
    gap_margin = 3 * (gap.high - gap.low) // 2
    step_length = result.occupancy.window_ns // max(len(result.steps), 1)
    margin = max(gap_margin, step_length)
    first, last = extent(trace)
    offset = time_offset(trace)
    low = max(gap.low - margin, first)
    high = min(gap.high + margin, last)
    return Span(low - offset, high - offset)


def cut(trace: Trace, result: DeviceResult, around: tuple[int, int], max_events: int) -> Trace:
    """Return the records of a device's process that lie nearest to a stretch of time.

    About `max_events` of them. Operations and calls are whole. Ranges end where these do: a range
    around a whole run would stretch what is shown to that run.
    """
    around = Span(*around)
    process = result.device.process
    operations = trace.operations.take(trace.operations_of(process))
    calls = trace.calls.take(trace.calls_of(process))
    ranges = trace.ranges.take(trace.threads_of(process)[trace.ranges.thread])
    counters = trace.counters

    # how far each record is from the stretch, and within which distance `max_events` lie
    operation_distance = _distance(operations.start, operations.end, around)
    call_distance = _distance(calls.start, calls.end, around)
    range_distance = _distance(ranges.start, ranges.end, around)
    counter_distance = _distance(counters.time, counters.time, around)
    distances = (operation_distance, call_distance, range_distance, counter_distance)
    reach = _nearest(np.concatenate(distances), max_events)
    operations = operations.take(operation_distance <= reach)
    calls = calls.take(call_distance <= reach)
    ranges = ranges.take(range_distance <= reach)
    counters = counters.take(counter_distance <= reach)

    # ranges end where the stretch does, or the operations and calls that reach beyond it
    whole = [table for table in (operations, calls) if len(table)]
    low = min([around.low - reach, *(int(table.start.min()) for table in whole)])
    high = max([around.high + reach, *(int(table.end.max()) for table in whole)])
    range_start = np.maximum(ranges.start, low)
    range_end = np.minimum(ranges.end, high)
    return replace(
        trace,
        operations=operations,
        calls=calls,
        ranges=ranges.replace(start=range_start, end=range_end),
        counters=counters,
    )


def _distance(start: Int64, end: Int64, around: Span) -> Int64:
    """Return how long before or after a stretch of time each record is; 0 where they touch."""
    before, after = around.low - end, start - around.high
    return np.maximum(np.maximum(before, after), 0)


def _nearest(distances: Int64, most: int) -> int:
    """Return the distance within which about so many records lie; the largest of fewer."""
    if distances.size > most:
        return int(np.partition(distances, most)[most])
    return int(distances.max(initial=0))
