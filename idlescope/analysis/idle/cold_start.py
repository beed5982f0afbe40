"""Cold start: the first launches of a process load modules, allocate and tune; that is told apart.

It is idle time that running longer does not repeat, so it says nothing of the steps that follow.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.intervals import Intervals, percent
from idlescope.analysis.view import DeviceView
from idlescope.trace.names.calls import FREEING, matching, synchronising
from idlescope.trace.table import Int64

# A call that is no wait takes microseconds once it is warm; loading a module takes 10 ms and more.
COLD_NS = 10_000_000
MATTERS_PCT = 10.0  # of idle: less is not worth a word
MOST_AFTER = 0.5  # share of the operations that follow a start; calls all along are none


class ColdStart(Struct, frozen=True):
    """The idle time of a device's first, slow calls."""

    call: str  # the name of the longest
    longest_ns: int
    calls: int
    idle_ns: int  # while one of them ran
    end: int  # of the last; ns on the trace's clock

    @property
    def text(self) -> str:
        """Return which calls they are, in words."""
        if self.calls == 1:
            return f"one {self.call} of {self.longest_ns / 1e6:,.1f} ms"
        return f"{self.calls} calls, the longest {self.call} of {self.longest_ns / 1e6:,.1f} ms"


def cold_start(view: DeviceView, gaps: Gaps) -> ColdStart | None:
    """Return the cold start within the gaps; None where there is none that matters."""
    rows = _slow_calls(view, gaps)
    if not rows.size:
        return None
    calls = view.trace.calls
    end = int(calls.end[rows].max())
    idle = Intervals(gaps.start, gaps.end)
    slow = intervals.union(calls.start[rows], calls.end[rows])
    idle_ns = intervals.overlaps(idle, slow).intervals.measure
    after = np.count_nonzero(view.operations.start >= end)
    if percent(idle_ns, idle.measure) < MATTERS_PCT or after < MOST_AFTER * len(
        view.operations
    ):
        return None
    longest = rows[(calls.end[rows] - calls.start[rows]).argmax()]
    return ColdStart(
        call=view.trace.names[calls.name[longest]],
        longest_ns=int(calls.end[longest] - calls.start[longest]),
        calls=rows.size,
        idle_ns=idle_ns,
        end=end,
    )


def _slow_calls(view: DeviceView, gaps: Gaps) -> Int64:
    """Return the rows of calls that last long, wait for nothing and fall into a gap."""
    trace, calls = view.trace, view.trace.calls
    slow = np.flatnonzero(calls.end - calls.start >= COLD_NS)
    slow = slow[trace.calls_of(view.process)[slow]]
    waits = synchronising(trace.names) & ~matching(FREEING, trace.names)
    slow = slow[~waits[calls.name[slow]] & ~np.isin(slow, view.blocking_copies)]
    gap = np.searchsorted(gaps.end, calls.start[slow], "right")
    inside = gap < len(gaps)
    inside[inside] = gaps.start[gap[inside]] < calls.end[slow[inside]]
    return slow[inside]
