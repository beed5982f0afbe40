"""What stood on the launching thread's stack while a gap lasted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.grouping import by_value
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import Calls, RangeKind, Ranges, Trace
from idlescope.trace.table import Int64

LONGEST = 10


@dataclass(frozen=True)
class LongGap:
    """One of a device's longest gaps, explained."""

    start_ns: int
    length_ns: int
    step: int  # of the operation that ended it; -1: not known
    cause_ns: dict[str, int]
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
    """What a thread had open: ranges, frames and calls."""

    start: Int64
    end: Int64
    name: Int64  # index into trace.names


def longest(
    view: DeviceView, step: Int64, gaps: Gaps, most: int = LONGEST
) -> list[LongGap]:
    """Return the `most` longest gaps, longest first; `step` is that of each operation, -1: none."""
    by_length = np.lexsort((gaps.start, -gaps.length))
    return [_explained(view, step, gaps, gap) for gap in by_length[:most].tolist()]


def _explained(view: DeviceView, step: Int64, gaps: Gaps, gap: int) -> LongGap:
    trace = view.trace
    operation = int(gaps.operation[gap])
    call = int(gaps.call[gap])
    thread, stack = "", tuple[str, ...]()
    if call >= 0:
        row = int(trace.calls.thread[call])
        thread = trace.threads[row].label
        stack = _stack(trace, row, _telling_moment(trace, gaps, gap))
    ended_by, step_number = "", -1
    if operation >= 0:
        ended_by = trace.names[view.operations.name[operation]]
        step_number = int(step[operation])
    return LongGap(
        start_ns=int(gaps.start[gap]),
        length_ns=int(gaps.length[gap]),
        step=step_number,
        cause_ns={cause: int(getattr(gaps, cause)[gap]) for cause in CAUSES},
        thread=thread,
        stack=stack,
        ended_by=ended_by,
    )


def _telling_moment(trace: Trace, gaps: Gaps, gap: int) -> int:
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
    return _longest_innermost(trace, thread, low, low + host_ns)


def _longest_innermost(trace: Trace, thread: int, low: int, high: int) -> int:
    """Return the middle of what was innermost on a thread for longest in [low, high), in ns."""
    spans = _spans(trace, thread, low, high)
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


def _stack(trace: Trace, thread: int, time: int) -> tuple[str, ...]:
    """Return the names of what a thread had open at a time, outermost first."""
    spans = _spans(trace, thread, time, time + 1)
    outermost_first = np.lexsort((-spans.end, spans.start))
    return tuple(trace.names[name] for name in spans.name[outermost_first])


def _spans(trace: Trace, thread: int, low: int, high: int) -> _Spans:
    """Return what a thread had open in [low, high): ranges, frames and calls."""
    # Columns are indexed one by one: whole tables of these few rows would take longer to build.
    ranges, calls = trace.ranges, trace.calls
    range_rows = _open_in(ranges, thread, low, high)
    kind = ranges.kind[range_rows]
    telling = (kind <= RangeKind.FRAME) | (kind == RangeKind.GARBAGE_COLLECTION)
    range_rows = range_rows[telling]
    call_rows = _open_in(calls, thread, low, high)
    names = np.concatenate((ranges.name[range_rows], calls.name[call_rows]))
    return _Spans(
        start=np.concatenate((ranges.start[range_rows], calls.start[call_rows])),
        end=np.concatenate((ranges.end[range_rows], calls.end[call_rows])),
        name=names.astype(np.int64),
    )


def _open_in(table: Ranges | Calls, thread: int, low: int, high: int) -> Int64:
    """Return the rows of ranges or calls of a thread that were open in [low, high)."""
    in_time = (table.start < high) & (table.end > low)
    return np.flatnonzero(in_time & (table.thread == thread))
