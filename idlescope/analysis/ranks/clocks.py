"""Bring the clocks of ranks together by their collectives, and say how well that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.analysis.ranks.matching import MatchedCalls
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.trace.table import Int64

# Times of devices of one host are converted to its clock with an error of this order.
CONVERSION_NS = 2_000
ENOUGH = 3  # calls that tell how two clocks are related


@dataclass(frozen=True)
class Clock:
    """How far a rank's clock is ahead of that of the first rank of its group, in nanoseconds."""

    ahead_ns: int  # 0: they agree
    error_ns: int  # what is known of that: plus or minus so much; 0 where they agree
    known: bool  # False: nothing tells; only durations can be compared


AGREES = Clock(0, 0, known=True)
NOT_KNOWN = Clock(0, 0, known=False)


def clocks(
    ranks: Sequence[RankTimeline], matched: Sequence[MatchedCalls], one_clock: bool
) -> list[Clock]:
    """Return each rank's clock.

    No call of a synchronising collective ends on one rank before it has begun on another, which
    bounds how far their clocks are apart. Where agreement lies within the bounds, the clocks are
    taken as they are; else they are brought together by when such calls end, the median of them,
    with the bounds' distance as the error.
    """
    found = [AGREES if one_clock else NOT_KNOWN for _ in ranks]
    if not one_clock and ranks:
        found[0] = AGREES
    settled = {0}
    for calls in sorted(matched, key=lambda calls: -calls.rows.shape[1]):
        if not calls.synchronises or calls.rows.shape[1] < ENOUGH:
            continue
        members = calls.ranks.tolist()
        base = next((rank for rank in members if rank in settled), members[0])
        for rank in members:
            if rank == base or rank in settled:
                continue
            relative = _relative(ranks, calls, base, rank, one_clock)
            ahead_ns = found[base].ahead_ns + relative.ahead_ns
            error_ns = found[base].error_ns + relative.error_ns
            found[rank] = Clock(ahead_ns, error_ns, known=True)
            settled.add(rank)
    return found


def _relative(
    ranks: Sequence[RankTimeline],
    calls: MatchedCalls,
    base: int,
    rank: int,
    one_clock: bool,
) -> Clock:
    """Return how far one rank's clock is ahead of another's, as the calls of both tell."""
    base_start, base_end = _times(ranks, calls, base)
    start, end = _times(ranks, calls, rank)
    least = int((start - base_end).max())
    most = int((end - base_start).min())
    if one_clock and least - CONVERSION_NS <= 0 <= most + CONVERSION_NS:
        return AGREES
    usual = int(np.median(end - base_end))
    if least > most:  # a clock that drifts, or calls that do not belong together
        deviation = np.abs(end - base_end - usual)
        return Clock(usual, int(np.quantile(deviation, 0.95)), known=True)
    ahead_ns = min(max(usual, least), most)
    error_ns = max(ahead_ns - least, most - ahead_ns)
    return Clock(ahead_ns, error_ns, known=True)


def _times(
    ranks: Sequence[RankTimeline], calls: MatchedCalls, rank: int
) -> tuple[Int64, Int64]:
    rows = calls.rows[int(np.flatnonzero(calls.ranks == rank)[0])]
    rank_calls = ranks[rank].calls
    return rank_calls.start[rows], rank_calls.end[rows]
