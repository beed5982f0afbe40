"""Why each gap is there: host, launch, queued or unattributed, which add up to idle to the nanosecond.

Let a gap be [g0, g1), ended by the operations that start at g1, and l0 the earliest start of their launch calls:

- host: max(0, min(l0, g1) - g0). The device ran dry and the host had not issued the next work.
- launch: the rest, if l0 >= g0. Issued after the device ran dry; waiting for the launch to arrive.
- queued: the rest, if l0 < g0. Issued before the gap: a stream dependency, an event wait, latency inside a graph.
- unattributed: the whole gap, where no launch call was captured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.table import Int64

CAUSES = ("host", "launch", "queued", "unattributed")


@dataclass(frozen=True)
class Gaps:
    """The gaps of one device, in time order, each divided among the four causes (nanoseconds)."""

    start: Int64
    end: Int64
    host: Int64
    launch: Int64
    queued: Int64
    unattributed: Int64
    call: Int64  # index into Trace.calls of the launch that ended the gap; -1: not captured
    operation: Int64  # index into the device's operations of the first one that ended the gap; -1: none in the trace

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> Int64:
        """Return the length of each gap in nanoseconds."""
        return self.end - self.start

    def totals(self) -> dict[str, int]:
        """Return the nanoseconds of each cause."""
        return {cause: int(getattr(self, cause).sum()) for cause in CAUSES}

    def parts(self) -> tuple[Int64, Int64, Intervals]:
        """Return the gaps divided, in time order: of each part its gap, its cause (index into CAUSES) and its time."""
        lengths = np.stack([getattr(self, cause) for cause in CAUSES], 1)
        gap, cause = np.nonzero(lengths)
        end = self.start[gap] + np.cumsum(lengths, 1)[gap, cause]
        return gap, cause, Intervals(end - lengths[gap, cause], end)


def attribute(view: DeviceView, idle: Intervals) -> Gaps:
    """Divide the gaps of one device, `idle`, among the causes.

    A gap that a window cuts off is ended by the operations that end the whole of it; where none follows, it is
    unattributed.
    """
    trace, operations, launches = view.trace, view.operations, view.launches
    first = np.searchsorted(operations.start, idle.end, "left")
    ended = np.flatnonzero(first < len(operations))
    first = first[ended]
    last = np.searchsorted(operations.start, operations.start[first], "right")
    ending, row = intervals.spread(first, last - first)
    made = launches[row]
    issued = np.full(row.size, np.iinfo(np.int64).max)
    issued[made >= 0] = trace.calls.start[made[made >= 0]]
    earliest = np.lexsort((issued, ending))[np.searchsorted(ending, np.arange(ended.size), "left")]
    call, operation = np.full(idle.start.size, -1, np.int64), np.full(idle.start.size, -1, np.int64)
    call[ended], operation[ended] = made[earliest], row[earliest]
    launched = np.zeros(idle.start.size, np.int64)
    launched[call >= 0] = trace.calls.start[call[call >= 0]]
    length, known = idle.length, call >= 0
    host = np.where(known, np.clip(np.minimum(launched, idle.end) - idle.start, 0, None), 0)
    late = known & (launched >= idle.start)
    return Gaps(
        start=idle.start,
        end=idle.end,
        host=host,
        launch=np.where(late, length - host, 0),
        queued=np.where(known & ~late, length - host, 0),
        unattributed=np.where(known, 0, length),
        call=call,
        operation=operation,
    )
