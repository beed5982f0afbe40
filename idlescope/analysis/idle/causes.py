"""Why each gap is there: four causes that add up to idle to the nanosecond.

Let a gap be [g0, g1), ended by the operations that start at g1, and [l0, l1) the earliest of the
calls that launched them (of equals the one that ends first):

- host: max(0, min(l0, g1) - g0). The device ran dry and the host had not issued the next work.
- launch: the rest, if l1 > g0. Issued too late: the launch call had not returned when the device
  ran dry. Kernels shorter than the host takes to launch one end here, and a launch call that
  itself lasts.
- queued: the rest, if l1 <= g0. Issued in time: a stream dependency, an event wait, latency inside
  a graph.
- unattributed: the whole gap, where no launch call was captured.

Operations of no length cover nothing and end no gap.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, structs

from idlescope.analysis import intervals
from idlescope.analysis.intervals import AFTER_EVERYTHING, Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.table import Bool, Int64

CAUSES = ("host", "launch", "queued", "unattributed")


class Gaps(Struct, frozen=True):
    """The gaps of one device, in time order, each divided among the four causes (nanoseconds)."""

    start: Int64
    end: Int64
    host: Int64
    launch: Int64
    queued: Int64
    unattributed: Int64
    call: Int64  # row of trace.calls that launched what ended the gap; -1: not captured
    operation: (
        Int64  # row of the device's operations that ended the gap; -1: none in the trace
    )
    # part of `host` in which there was no request; 0 until that is asked (`concentration`)
    no_demand: Int64

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> Int64:
        """Return the length of each gap in nanoseconds."""
        return self.end - self.start

    def take(self, rows: Int64 | Bool) -> Gaps:
        """Return some of the gaps."""
        return Gaps(*(column[rows] for column in structs.astuple(self)))

    def totals(self) -> dict[str, int]:
        """Return the nanoseconds of each cause."""
        return {cause: int(getattr(self, cause).sum()) for cause in CAUSES}

    def parts(self) -> tuple[Int64, Int64, Intervals]:
        """Return the parts of the gaps in time order: each one's gap, its cause and its time.

        The cause is an index into `CAUSES`.
        """
        lengths = np.stack([getattr(self, cause) for cause in CAUSES], 1)
        ends = self.start[:, None] + np.cumsum(lengths, 1)
        gap, cause = np.nonzero(lengths)
        part_end = ends[gap, cause]
        return gap, cause, Intervals(part_end - lengths[gap, cause], part_end)


def attribute(view: DeviceView, idle: Intervals) -> Gaps:
    """Divide the gaps of one device, `idle`, among the causes.

    A gap that a window cuts off is ended by the operations that end the whole of it; where none
    follows, it is unattributed.
    """
    operation, call = _ended_by(view, idle)
    known = call >= 0
    call_start, call_end = np.zeros((2, idle.start.size), np.int64)
    call_start[known] = view.trace.calls.start[call[known]]
    call_end[known] = view.trace.calls.end[call[known]]

    not_issued = np.minimum(call_start, idle.end) - idle.start
    host = np.where(known, np.clip(not_issued, 0, None), 0)
    rest = idle.length - host
    late = known & (call_end > idle.start)
    return Gaps(
        start=idle.start,
        end=idle.end,
        host=host,
        launch=np.where(late, rest, 0),
        queued=np.where(known & ~late, rest, 0),
        unattributed=np.where(known, 0, idle.length),
        call=call,
        operation=operation,
        no_demand=np.zeros_like(host),
    )


def _ended_by(view: DeviceView, idle: Intervals) -> tuple[Int64, Int64]:
    """Return for each gap the operation that ended it and the call that launched it; -1: not known.

    Of the operations that start at the gap's end it is the one that was launched first.
    """
    ending_operation = np.full(idle.start.size, -1, np.int64)
    ending_call = np.full(idle.start.size, -1, np.int64)
    lasting = np.flatnonzero(view.operations.end > view.operations.start)
    starts = view.operations.start[lasting]
    first = np.searchsorted(starts, idle.end, "left")
    ended_gaps = np.flatnonzero(first < starts.size)
    first = first[ended_gaps]
    after_last = np.searchsorted(starts, starts[first], "right")

    # One row for each pair of a gap and an operation that ends it.
    gap, position = intervals.spread(first, after_last - first)
    operation = lasting[position]
    call = view.launches[operation]
    linked = call >= 0
    call_start, call_end = np.full((2, operation.size), AFTER_EVERYTHING)
    call_start[linked] = view.trace.calls.start[call[linked]]
    call_end[linked] = view.trace.calls.end[call[linked]]

    # Within each gap the pair that was issued first.
    by_issue = np.lexsort((call_end, call_start, gap))
    first_pair = np.searchsorted(gap, np.arange(ended_gaps.size), "left")
    earliest = by_issue[first_pair]
    ending_operation[ended_gaps] = operation[earliest]
    ending_call[ended_gaps] = call[earliest]
    return ending_operation, ending_call
