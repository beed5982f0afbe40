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
    starts = [*(timed_table.start for timed_table in tables), trace.counters.time]
    table_ends = [timed_table.end for timed_table in tables]
    earliest_ns = min(
        (int(time_column.min()) for time_column in starts if time_column.size), default=0
    )
    latest_ns = max(
        (
            int(time_column.max())
            for time_column in (*starts, *table_ends)
            if time_column.size
        ),
        default=0,
    )
    return Span(earliest_ns, latest_ns)


def time_offset(trace: Trace) -> int:
    """Return the ns to take from all times: none is negative, all are exact as float64 of µs."""
    earliest_ns, latest_ns = extent(trace)
    return earliest_ns - FIRST_NS if earliest_ns < 0 or latest_ns >= EXACT_BELOW_NS else 0
