"""What times of a Trace a file can hold: all of them, moved where Perfetto would lose some."""

from __future__ import annotations

from typing import NamedTuple

from idlescope.trace.model import Trace

# 2**40 µs: there, a float64 of microseconds has three more bits than a nanosecond needs.
EXACT_BELOW_NS = (1 << 40) * 1000
# What is left of the first time: readers, ours too, take a lone 0 for one never recorded.
FIRST_NS = 1000


class Span(NamedTuple):
    """A stretch of time, ns."""

    low: int
    high: int


def extent(trace: Trace) -> Span:
    """Return the first and the last time of a Trace; 0 and 0 of an empty one."""
    tables = (trace.operations, trace.calls, trace.ranges)
    starts = [*(table.start for table in tables), trace.counters.time]
    ends = [table.end for table in tables]
    low = min((int(times.min()) for times in starts if times.size), default=0)
    high = max((int(times.max()) for times in (*starts, *ends) if times.size), default=0)
    return Span(low, high)


def time_offset(trace: Trace) -> int:
    """Return the ns to take from all times: none is negative, all are exact as float64 of µs."""
    low, high = extent(trace)
    return low - FIRST_NS if low < 0 or high >= EXACT_BELOW_NS else 0
