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
from idlescope.trace.model import RangeKind, Trace
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
    stack: tuple[str, ...]  # ranges, frames and calls, outermost first, where most time in it went
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


def longest(view: DeviceView, step: Int64, gaps: Gaps, most: int = LONGEST) -> list[LongGap]:
    """Return the `most` longest gaps, longest first; `step` is that of each operation, -1: none."""
    by_length = np.lexsort((gaps.start, -gaps.length))
    return [_explained(view, step, gaps, gap) for gap in by_length[:most].tolist()]


def _explained(view: DeviceView, step: Int64, gaps: Gaps, gap: int) -> LongGap:
    trace = view.trace
    operation, call = int(gaps.operation[gap]), int(gaps.call[gap])
    thread, stack = "", tuple[str, ...]()
    if call >= 0:
        thread_row = int(trace.calls.thread[call])
        thread = trace.threads[thread_row].label
        stack = _stack(trace, thread_row, _telling_moment(trace, gaps, gap))
    ended_by = trace.names[view.operations.name[operation]] if operation >= 0 else ""
    return LongGap(
        start_ns=int(gaps.start[gap]),
        length_ns=int(gaps.length[gap]),
        step=int(step[operation]) if operation >= 0 else -1,
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
    high = low + int(gaps.host[gap])
    if 2 * (high - low) <= gaps.length[gap]:
        return int(trace.calls.start[call])
    spans = _spans(trace, int(trace.calls.thread[call]), low, high)
    pieces, owner = intervals.innermost(spans.start, spans.end)
    host_part = Intervals(np.array([low]), np.array([high]))
    shared = intervals.overlaps(host_part, pieces)
    if not shared.start.size:
        return low
    _, spans_of_pieces = by_value(owner[shared.right])
    longest_span = int(spans_of_pieces.total(shared.end - shared.start).argmax())
    piece = int(np.flatnonzero(spans_of_pieces.row == longest_span)[0])
    return int(shared.start[piece] + shared.end[piece]) // 2


def _stack(trace: Trace, thread: int, time: int) -> tuple[str, ...]:
    """Return the names of what a thread had open at a time, outermost first."""
    spans = _spans(trace, thread, time, time + 1)
    outermost_first = np.lexsort((-spans.end, spans.start))
    return tuple(trace.names[name] for name in spans.name[outermost_first])


def _spans(trace: Trace, thread: int, low: int, high: int) -> _Spans:
    """Return what a thread had open in [low, high): ranges, frames and calls."""
    ranges, calls = trace.ranges, trace.calls
    telling = (ranges.kind <= RangeKind.FRAME) | (ranges.kind == RangeKind.GARBAGE_COLLECTION)
    in_time = (ranges.start < high) & (ranges.end > low)
    range_rows = np.flatnonzero(in_time & (ranges.thread == thread) & telling)
    in_time = (calls.start < high) & (calls.end > low)
    call_rows = np.flatnonzero(in_time & (calls.thread == thread))
    return _Spans(
        start=np.concatenate((ranges.start[range_rows], calls.start[call_rows])),
        end=np.concatenate((ranges.end[range_rows], calls.end[call_rows])),
        name=np.concatenate((ranges.name[range_rows], calls.name[call_rows])).astype(np.int64),
    )
