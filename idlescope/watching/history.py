"""The last two minutes second by second, and the last long gaps.

Seconds are those of the steady clock: a step of the wall clock moves them all alike when they are
shown, and mixes none up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.intervals import Intervals
from idlescope.trace.table import Int64
from idlescope.watching.rows import Columns
from idlescope.watching.state import HISTORY_S, LONG_GAPS, Second, WatchedGap

SECOND = 1_000_000_000


@dataclass
class SecondRow:
    """What is known of one second so far."""

    second: int  # of perf_counter
    busy_ns: int = 0
    idle_ns: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    tokens: int = 0
    step_ns: int = 0

    @property
    def watched_ns(self) -> int:
        """Return how much of the second is accounted for."""
        return self.busy_ns + sum(self.idle_ns.values())


@dataclass(frozen=True)
class GapRow:
    """A long gap, on the steady clock."""

    start: int
    length_ns: int
    step: int
    cause: str
    phase: str


class History:
    """What `idlescope watch` draws."""

    def __init__(self) -> None:
        self.rows: deque[SecondRow] = deque(maxlen=HISTORY_S)
        self.gaps: deque[GapRow] = deque(maxlen=LONG_GAPS)

    def add_device(
        self, low: int, high: int, busy: Intervals, idle: dict[str, Intervals]
    ) -> None:
        """Add the settled stretch [low, high): busy and idle times, each disjoint."""
        edges = _edges(low, high)
        rows = self._rows(edges)
        for row, time_ns in zip(rows, _per_second(busy, edges), strict=True):
            row.busy_ns += time_ns
        for cause, times in idle.items():
            if times.start.size:
                for row, time_ns in zip(rows, _per_second(times, edges), strict=True):
                    if time_ns:
                        row.idle_ns[cause] = row.idle_ns.get(cause, 0) + time_ns

    def add_steps(self, steps: Columns) -> None:
        """Add steps that have ended, each to the second in which it did."""
        if not steps["end"].size:
            return
        edges = _edges(int(steps["end"].min()), int(steps["end"].max()) + 1)
        rows = self._rows(edges)
        place = steps["end"] // SECOND - edges[0] // SECOND
        count = np.bincount(place, minlength=len(rows))
        by_second = Groups(place, len(rows))
        tokens = by_second.total(steps["tokens"])
        step_ns = by_second.total(steps["end"] - steps["start"])
        for number, row in enumerate(rows):
            row.steps += int(count[number])
            row.tokens += int(tokens[number])
            row.step_ns += int(step_ns[number])

    def seconds(self, unix_offset_ns: int) -> list[Second]:
        """Return the rows; `unix_offset_ns` is the wall clock less the steady one, now."""
        shift = round(unix_offset_ns / SECOND)
        return [
            Second(
                row.second + shift, row.busy_ns, dict(row.idle_ns), row.steps, row.tokens
            )
            for row in self.rows
        ]

    def long_gaps(self, unix_offset_ns: int) -> list[WatchedGap]:
        """Return the last long gaps, the newest last."""
        return [
            WatchedGap(
                gap.start + unix_offset_ns, gap.step, gap.length_ns, gap.cause, gap.phase
            )
            for gap in self.gaps
        ]

    def last(self, seconds: int, now_ns: int) -> list[SecondRow]:
        """Return the rows of the last whole seconds before a time."""
        this_second = now_ns // SECOND
        return [
            row for row in self.rows if this_second - seconds <= row.second < this_second
        ]

    def _rows(self, edges: Int64) -> list[SecondRow]:
        """Return the rows of consecutive seconds; those that are forgotten already are not kept."""
        known = {row.second: row for row in self.rows}
        newest = self.rows[-1].second if self.rows else -1
        rows = []
        for second in (edges[:-1] // SECOND).tolist():
            row = known.get(second)
            if row is None:
                row = SecondRow(second)
                if second > newest:
                    self.rows.append(row)
            rows.append(row)
        return rows


def _edges(low: int, high: int) -> Int64:
    """Return the bounds of the seconds that [low, high) touches."""
    return np.arange(low // SECOND, -(-high // SECOND) + 1) * SECOND


def _per_second(times: Intervals, edges: Int64) -> list[int]:
    within: list[int] = np.diff(intervals.covered_before(times, edges)).tolist()
    return within
