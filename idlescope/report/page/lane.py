"""One lane of a timeline: a row of intervals, each with a name and a colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from idlescope.trace.table import Bool, Int64

NO_COLOUR = ""  # of intervals that are not drawn


@dataclass(frozen=True)
class Lane:
    """One row of the timeline: intervals sorted by start, times in ns.

    `name` holds codes: indices into `texts` and `colours`.
    """

    label: str
    start: Int64
    end: Int64
    name: Int64
    step: Int64  # -1: not known
    texts: Sequence[str]
    colours: Sequence[str]
    ended_by: Int64 | None = (
        None  # of gaps: a name of the trace; one more than those: nothing
    )

    def take(self, rows: Bool) -> Lane:
        """Return some of its intervals."""
        return replace(
            self,
            start=self.start[rows],
            end=self.end[rows],
            name=self.name[rows],
            step=self.step[rows],
            ended_by=None if self.ended_by is None else self.ended_by[rows],
        )
