"""The stretch of a Trace around its worst gap: small enough to stand in a report and to be handed to Perfetto."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto import writer
from idlescope.trace.model import Trace

MAX_EVENTS = 6000  # of a hundred bytes as JSON, some fifteen packed: about 100 kB


class Excerpt(NamedTuple):
    """A packed piece of a trace, and what of it to show first; times in ns on the clock of the packed file."""

    data: bytes  # Chrome JSON, gzipped
    start: int
    end: int


def packed(trace: Trace, result: DeviceResult, max_events: int = MAX_EVENTS) -> Excerpt:
    """Return the piece of a Trace around the longest gap of one of its devices, of about so many records.

    `result` is of an analysis of that trace. Where the device has no gap, the piece is from the middle of its window.
    """
    piece = cut(trace, result, worst_gap(result), max_events)
    return Excerpt(writer.packed(piece, [result]), *view(piece, result))


def worst_gap(result: DeviceResult) -> tuple[int, int]:
    """Return start and end of a device's longest gap; the instant in the middle of its window where it has none."""
    gaps = result.gaps
    if not len(gaps):
        middle = sum(result.occupancy.window) // 2
        return middle, middle
    longest = int(gaps.length.argmax())
    return int(gaps.start[longest]), int(gaps.end[longest])


def view(trace: Trace, result: DeviceResult) -> tuple[int, int]:
    """Return what to show of a written Trace: the worst gap in the middle of what is around it, in ns of the file.

    On either side, a step and at least one and a half times the gap. It lies within the trace: Perfetto takes no other.
    """
    start, end = worst_gap(result)
    around = max(3 * (end - start) // 2, result.occupancy.window_ns // max(len(result.steps), 1))
    low, high = writer.extent(trace)
    offset = writer.time_offset(trace)
    return max(start - around, low) - offset, min(end + around, high) - offset


def cut(trace: Trace, result: DeviceResult, around: tuple[int, int], max_events: int) -> Trace:
    """Return the records of a device's process that lie nearest to a stretch of time, about so many of them.

    Operations and calls are whole. Ranges end where these do: with one around a whole run, that would be what is shown.
    """
    process = result.device.process
    operations = trace.operations.take(trace.operations_of(process))
    calls = trace.calls.take(trace.calls_of(process))
    ranges = trace.ranges.take(trace.threads_of(process)[trace.ranges.thread])
    counters = trace.counters
    spans = [(t.start, t.end) for t in (operations, calls, ranges)] + [
        (counters.time, counters.time)
    ]
    distances = [
        np.maximum(np.maximum(around[0] - end, start - around[1]), 0) for start, end in spans
    ]
    every = np.concatenate(distances)
    far = (
        np.partition(every, max_events)[max_events]
        if every.size > max_events
        else every.max(initial=0)
    )
    operations, calls, ranges, counters = (
        operations.take(distances[0] <= far), calls.take(distances[1] <= far),
        ranges.take(distances[2] <= far), counters.take(distances[3] <= far),
    )  # fmt: skip
    low = min(around[0] - int(far), *(int(t.start.min()) for t in (operations, calls) if len(t)))
    high = max(around[1] + int(far), *(int(t.end.max()) for t in (operations, calls) if len(t)))
    ranges = ranges.replace(start=np.maximum(ranges.start, low), end=np.minimum(ranges.end, high))
    return replace(trace, operations=operations, calls=calls, ranges=ranges, counters=counters)
