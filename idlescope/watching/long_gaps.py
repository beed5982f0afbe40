"""The gaps of a stretch that are far longer than what a step exposes, and why they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.trace.table import Int64
from idlescope.watching.history import GapRow
from idlescope.watching.state import LONG_GAPS, NO_DEMAND
from idlescope.watching.totals import Totals

SHORTEST_NS = 1_000_000
TIMES = 3  # the idle time of a step, on the average


class WholeGaps(NamedTuple):
    """Gaps in full, where the stretch before had cut one off: a row for each gap of a stretch."""

    length: Int64  # ns; 0 of one that is not over
    step: Int64  # that ended it; -1: not known


def shortest_ns(totals: Totals) -> int:
    """Return how long a gap is at least that is long for this loop."""
    usual = totals.idle_per_step
    usual_ns = usual.sum_ns // usual.count if usual.count else 0
    return max(SHORTEST_NS, TIMES * usual_ns)


def rows_of(whole: WholeGaps, shortest: int) -> Int64:
    """Return which gaps are long, the last ones where there are many."""
    return np.flatnonzero(whole.length >= shortest)[-LONG_GAPS:]


def grouped(rows: Int64, gaps: int, parent: Int64) -> Groups:
    """Return the groups of pieces of gaps: 0 for most, i + 1 for those of long gap `rows[i]`.

    There are so many gaps, and `parent` is that of each piece.
    """
    group = np.zeros(gaps, np.int64)
    group[rows] = np.arange(1, rows.size + 1)
    return Groups(group[parent], rows.size + 1)


def described(
    rows: Int64, gaps: Gaps, whole: WholeGaps, by_phase: Mapping[str, Int64]
) -> list[GapRow]:
    """Return the long gaps; `by_phase` is host time by phase, a column per group (`grouped`)."""
    found = []
    for group, row in enumerate(rows.tolist(), 1):
        phases = {phase: int(time_ns[group]) for phase, time_ns in by_phase.items()}
        parts = {cause: int(getattr(gaps, cause)[row]) for cause in CAUSES}
        # the host's part, less that in which there was no request
        parts[NO_DEMAND] = parts["host"] - sum(phases.values())
        parts["host"] -= parts[NO_DEMAND]
        cause = max(parts, key=lambda name: parts[name])
        is_host = cause == "host"
        found.append(
            GapRow(
                start=int(gaps.end[row] - whole.length[row]),
                length_ns=int(whole.length[row]),
                step=int(whole.step[row]),
                cause=cause,
                phase=max(phases, key=lambda name: phases[name]) if is_host else "",
            )
        )
    return found
