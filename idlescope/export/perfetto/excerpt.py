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
    excerpt = cut(trace, result, worst_gap(result), max_events)
    view_start, view_end = view(excerpt, result)
    return Excerpt(writer.packed(excerpt, [result]), view_start, view_end)


def worst_gap(result: DeviceResult) -> Span:
    """Return a device's longest gap; the instant in the middle of its window where it has none."""
    result_gaps = result.gaps
    if not len(result_gaps):
        middle = sum(result.occupancy.window) // 2
        return Span(middle, middle)
    longest = int(result_gaps.length.argmax())
    return Span(int(result_gaps.start[longest]), int(result_gaps.end[longest]))


def view(trace: Trace, result: DeviceResult) -> Span:
    """Return what to show of a written Trace: the worst gap in the middle, in ns of the file.

    On either side, a step and at least one and a half times the gap. The view lies within the
    trace: Perfetto takes no other.
    """
    longest_gap = worst_gap(result)
    gap_margin = 3 * (longest_gap.high - longest_gap.low) // 2
    step_length = result.occupancy.window_ns // max(len(result.steps), 1)
    margin = max(gap_margin, step_length)
    trace_start, trace_end = extent(trace)
    offset = time_offset(trace)
    view_start = max(longest_gap.low - margin, trace_start)
    view_end = min(longest_gap.high + margin, trace_end)
    return Span(view_start - offset, view_end - offset)


def cut(
    trace: Trace, result: DeviceResult, around: tuple[int, int], max_events: int
) -> Trace:
    """Return the records of a device's process that lie nearest to a stretch of time.

    About `max_events` of them. Operations and calls are whole. Ranges end where these do: a range
    around a whole run would stretch what is shown to that run.
    """
    around = Span(*around)
    process = result.device.process
    operations = trace.operations.take(trace.operations_of(process))
    process_calls = trace.calls.take(trace.calls_of(process))
    ranges = trace.ranges.take(trace.threads_of(process)[trace.ranges.thread])
    counters = trace.counters

    # how far each record is from the stretch, and within which distance `max_events` lie
    operation_distance = _distance(operations.start, operations.end, around)
    call_distance = _distance(process_calls.start, process_calls.end, around)
    range_distance = _distance(ranges.start, ranges.end, around)
    counter_distance = _distance(counters.time, counters.time, around)
    distances = (operation_distance, call_distance, range_distance, counter_distance)
    nearest_reach = _nearest(np.concatenate(distances), max_events)
    operations = operations.take(operation_distance <= nearest_reach)
    process_calls = process_calls.take(call_distance <= nearest_reach)
    ranges = ranges.take(range_distance <= nearest_reach)
    counters = counters.take(counter_distance <= nearest_reach)

    # ranges end where the stretch does, or the operations and calls that reach beyond it
    whole_tables = [
        kept_table for kept_table in (operations, process_calls) if len(kept_table)
    ]
    excerpt_start = min(
        [
            around.low - nearest_reach,
            *(int(kept_table.start.min()) for kept_table in whole_tables),
        ]
    )
    excerpt_end = max(
        [
            around.high + nearest_reach,
            *(int(kept_table.end.max()) for kept_table in whole_tables),
        ]
    )
    range_start = np.maximum(ranges.start, excerpt_start)
    range_end = np.minimum(ranges.end, excerpt_end)
    return replace(
        trace,
        operations=operations,
        calls=process_calls,
        ranges=ranges.replace(start=range_start, end=range_end),
        counters=counters,
    )


def _distance(start: Int64, end: Int64, around: Span) -> Int64:
    """Return how long before or after a stretch of time each record is; 0 where they touch."""
    time_before, time_after = around.low - end, start - around.high
    return np.maximum(np.maximum(time_before, time_after), 0)


def _nearest(distances: Int64, most: int) -> int:
    """Return the distance within which about so many records lie; the largest of fewer."""
    if distances.size > most:
        return int(np.partition(distances, most)[most])
    return int(distances.max(initial=0))
