"""What stood on the launching thread's stack while a gap lasted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.grouping import by_value
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.table import Int64

LONGEST = 10


class LongGap(Struct, frozen=True):
    """One of a device's longest gaps, explained."""

    start_ns: int
    length_ns: int
    step: int  # of the operation that ended it; -1: not known
    cause_ns: dict[str, int]
    no_demand_ns: int  # of host: there was no request
    thread: str  # the launching one; empty where no launch is known
    stack: tuple[
        str, ...
    ]  # ranges, frames and calls, outermost first, where most time in it went
    ended_by: str  # the operation; empty where none follows

    @property
    def cause(self) -> str:
        """Return the cause of most of it."""
        return max(self.cause_ns, key=lambda name: self.cause_ns[name])


class _Spans(NamedTuple):
    """What threads had open: ranges, frames and calls."""

    start: Int64
    end: Int64
    name: Int64  # index into trace.names
    thread: Int64  # index into trace.threads

    def open_in(self, thread: int, low: int, high: int) -> _Spans:
        """Return what a thread had open in [low, high)."""
        is_open = (self.start < high) & (self.end > low) & (self.thread == thread)
        return _Spans(*(column[is_open] for column in self))


def longest(
    view: DeviceView, step: Int64, gaps: Gaps, most: int = LONGEST
) -> list[LongGap]:
    """Return the `most` longest gaps, longest first; `step` is that of each operation, -1: none."""
    chosen = np.lexsort((gaps.start, -gaps.length))[:most]
    spans = _around(view.trace, gaps, chosen)
    return [_explained(view, step, gaps, spans, gap) for gap in chosen.tolist()]


def _around(trace: Trace, gaps: Gaps, chosen: Int64) -> _Spans:
    """Return all that was open within some gaps, or as the calls that ended them began."""
    launched = trace.calls.start[gaps.call[chosen[gaps.call[chosen] >= 0]]]
    start = np.concatenate((gaps.start[chosen], launched))
    end = np.concatenate((gaps.end[chosen], launched + 1))
    times = intervals.union(start, end)
    ranges, calls = trace.ranges, trace.calls
    kind = ranges.kind
    telling = (kind <= RangeKind.FRAME) | (kind == RangeKind.GARBAGE_COLLECTION)
    range_rows = np.flatnonzero(telling & intervals.meets(ranges.start, ranges.end, times))
    call_rows = np.flatnonzero(intervals.meets(calls.start, calls.end, times))
    # Columns are indexed one by one: whole tables of these few rows would take longer to build.
    columns = (
        np.concatenate((of_ranges[range_rows], of_calls[call_rows])).astype(np.int64)
        for of_ranges, of_calls in (
            (ranges.start, calls.start),
            (ranges.end, calls.end),
            (ranges.name, calls.name),
            (ranges.thread, calls.thread),
        )
    )
    return _Spans(*columns)


def _explained(
    view: DeviceView, step: Int64, gaps: Gaps, spans: _Spans, gap: int
) -> LongGap:
    trace = view.trace
    operation = int(gaps.operation[gap])
    call = int(gaps.call[gap])
    thread, stack = "", tuple[str, ...]()
    if call >= 0:
        row = int(trace.calls.thread[call])
        thread = trace.threads[row].label
        moment = _telling_moment(trace, gaps, spans, gap)
        stack = _stack(trace.names, spans.open_in(row, moment, moment + 1))
    ended_by, step_number = "", -1
    if operation >= 0:
        ended_by = trace.names[view.operations.name[operation]]
        step_number = int(step[operation])
    return LongGap(
        start_ns=int(gaps.start[gap]),
        length_ns=int(gaps.length[gap]),
        step=step_number,
        cause_ns={cause: int(getattr(gaps, cause)[gap]) for cause in CAUSES},
        no_demand_ns=int(gaps.no_demand[gap]),
        thread=thread,
        stack=stack,
        ended_by=ended_by,
    )


def _telling_moment(trace: Trace, gaps: Gaps, spans: _Spans, gap: int) -> int:
    """Return the instant whose stack stands for a gap that a known call ended, in ns.

    Where the host's part is most of the gap, it is the middle of what was innermost for longest in
    that part; else it is the launch.
    """
    call = gaps.call[gap]
    low = int(gaps.start[gap])
    host_ns = int(gaps.host[gap])
    if 2 * host_ns <= gaps.length[gap]:
        return int(trace.calls.start[call])
    thread = int(trace.calls.thread[call])
    of_thread = spans.open_in(thread, low, low + host_ns)
    return _longest_innermost(of_thread, low, low + host_ns)


def _longest_innermost(spans: _Spans, low: int, high: int) -> int:
    """Return the middle of what was innermost for longest in [low, high), in ns."""
    pieces, span_of_piece = intervals.innermost(spans.start, spans.end)
    whole = Intervals(np.array([low]), np.array([high]))
    shared = intervals.overlaps(whole, pieces)
    if not shared.start.size:
        return low
    _, by_span = by_value(span_of_piece[shared.right])
    time_of_span = by_span.total(shared.end - shared.start)
    of_longest = by_span.row == time_of_span.argmax()
    first_piece = int(np.flatnonzero(of_longest)[0])
    start, end = shared.start[first_piece], shared.end[first_piece]
    return int(start + end) // 2


def _stack(names: tuple[str, ...], spans: _Spans) -> tuple[str, ...]:
    """Return the names of what a thread had open at one time, outermost first."""
    outermost_first = np.lexsort((-spans.end, spans.start))
    return tuple(names[name] for name in spans.name[outermost_first])
