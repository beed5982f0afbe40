"""What stood on the launching thread's stack while a gap lasted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.steps.find import Division
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
    stack: tuple[
        str, ...
    ]  # ranges, frames and calls, outermost first, where most of the host's time in it went
    ended_by: str  # the operation; empty where none follows

    @property
    def cause(self) -> str:
        """Return the cause of most of it."""
        return max(self.cause_ns, key=lambda name: self.cause_ns[name])

    def to_json(self) -> dict[str, Any]:
        """Return the gap's entry of `analyze --json`."""
        return {
            "start_ns": self.start_ns, "length_ns": self.length_ns, "step": self.step if self.step >= 0 else None,
            "cause": self.cause, "cause_ns": self.cause_ns, "thread": self.thread, "stack": list(self.stack),
            "ended_by": self.ended_by,
        }  # fmt: skip


def longest(view: DeviceView, division: Division, gaps: Gaps, most: int = LONGEST) -> list[LongGap]:
    """Return the longest gaps, longest first."""
    trace, operations = view.trace, view.operations
    order = np.lexsort((gaps.start, -gaps.length))[:most]
    rows = []
    for i in order.tolist():
        operation, call = int(gaps.operation[i]), int(gaps.call[i])
        thread, stack = ("", ()) if call < 0 else _stack(trace, gaps, i, call)
        rows.append(
            LongGap(
                int(gaps.start[i]),
                int(gaps.length[i]),
                int(division.step[operation]) if operation >= 0 else -1,
                {cause: int(getattr(gaps, cause)[i]) for cause in CAUSES},
                thread,
                stack,
                trace.names[operations.name[operation]] if operation >= 0 else "",
            )
        )
    return rows


def _stack(trace: Trace, gaps: Gaps, gap: int, call: int) -> tuple[str, tuple[str, ...]]:
    """Return the launching thread and its stack at the instant that stands for a gap.

    That is the middle of what was innermost for longest in the host's part of the gap, or, where that part is not most
    of the gap, the launch.
    """
    thread = int(trace.calls.thread[call])
    low, high = int(gaps.start[gap]), int(gaps.start[gap] + gaps.host[gap])
    at = int(trace.calls.start[call])
    if 2 * (high - low) > gaps.length[gap]:
        start, end, _ = _spans(trace, thread, low, high)
        pieces, owner = intervals.innermost(start, end)
        shared = intervals.overlaps(Intervals(np.array([low]), np.array([high])), pieces)
        if shared.start.size:
            time = np.bincount(owner[shared.right], shared.end - shared.start)
            piece = int(np.flatnonzero(owner[shared.right] == time.argmax())[0])
            at = int(shared.start[piece] + shared.end[piece]) // 2
        else:
            at = low
    start, end, name = _spans(trace, thread, at, at + 1)
    order = np.lexsort((-end, start))
    return trace.threads[thread].label, tuple(trace.names[i] for i in name[order])


def _spans(trace: Trace, thread: int, low: int, high: int) -> tuple[Int64, Int64, Int64]:
    """Return start, end and name of what a thread had open in [low, high): ranges, frames and calls."""
    r, c = trace.ranges, trace.calls
    kinds = (r.kind <= RangeKind.FRAME) | (r.kind == RangeKind.GARBAGE_COLLECTION)
    mine = np.flatnonzero((r.start < high) & (r.end > low) & (r.thread == thread) & kinds)
    made = np.flatnonzero((c.start < high) & (c.end > low) & (c.thread == thread))
    return (
        np.concatenate((r.start[mine], c.start[made])),
        np.concatenate((r.end[mine], c.end[made])),
        np.concatenate((r.name[mine], c.name[made])).astype(np.int64),
    )
