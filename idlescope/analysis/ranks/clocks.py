"""Bring the clocks of ranks together by their collectives, and say how well that can be known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from idlescope.analysis.ranks.matching import MatchedCalls
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.trace.table import Float64, Int64

# Times of devices of one host are converted to its clock with an error of this order.
CONVERSION_NS = 2_000
ENOUGH = 3  # calls that tell how two clocks are related
ENOUGH_FOR_DRIFT = 64  # calls that tell whether one gains on the other
DRIFT_BLOCKS = 16
MOST_DRIFT = 1e-3  # ns in each ns: quartz is off by less than a tenth of that
DRIFT_EXPLAINS = 0.5  # of how ends vary is left where drift is the reason


class Clock(Struct, frozen=True):
    """How far a rank's clock is ahead of that of the first rank of its group, in nanoseconds."""

    ahead_ns: int  # 0: they agree
    error_ns: int  # what is known of that: plus or minus so much; 0 where they agree
    known: bool  # False: nothing tells; only durations can be compared
    drift: float = 0.0  # by how many ns it gets further ahead in each ns
    since_ns: int = 0  # when, by itself, it is `ahead_ns` ahead

    def ahead_at(self, time: Int64) -> Int64:
        """Return by how much the clock is ahead at some of its times."""
        if not self.drift:
            return np.full_like(time, self.ahead_ns)
        return self.ahead_ns + np.rint(self.drift * (time - self.since_ns)).astype(np.int64)

    def to_first(self, time: Int64) -> Int64:
        """Return times of this clock as the first rank's clock shows them."""
        return time - self.ahead_at(time)

    def from_first(self, time: Int64) -> Int64:
        """Return times of the first rank's clock as this one shows them."""
        about = time + self.ahead_ns
        return time + self.ahead_at(
            about + np.rint(self.drift * (about - self.since_ns)).astype(np.int64)
        )


AGREES = Clock(0, 0, known=True)
NOT_KNOWN = Clock(0, 0, known=False)


def clocks(
    ranks: Sequence[RankTimeline], matched: Sequence[MatchedCalls], one_clock: bool
) -> list[Clock]:
    """Return each rank's clock.

    No call of a synchronising collective ends on one rank before it has begun on another, which
    bounds how far their clocks are apart. Where agreement lies within the bounds, the clocks are
    taken as they are; else they are brought together by when such calls end, the median of them,
    or a line through them where one clock gains on the other, with the bounds' distance as the
    error.
    """
    found = [AGREES if one_clock else NOT_KNOWN] * len(ranks)
    if ranks:
        found[0] = AGREES
    settled = {0}
    for calls in _telling(matched):
        members = calls.ranks.tolist()
        base = next((rank for rank in members if rank in settled), members[0])
        for rank in members:
            if rank == base or rank in settled:
                continue
            relative = _relative(ranks, calls, base, rank, one_clock)
            found[rank] = _through(relative, found[base])
            settled.add(rank)
    return found


def _telling(matched: Sequence[MatchedCalls]) -> list[MatchedCalls]:
    """Return the calls that tell how clocks are related, the most frequent first."""
    telling = [
        calls for calls in matched if calls.synchronises and calls.rows.shape[1] >= ENOUGH
    ]
    return sorted(telling, key=lambda calls: -calls.rows.shape[1])


def _through(relative: Clock, base: Clock) -> Clock:
    """Return a clock beside the first rank's, of one that is known beside the base's."""
    if relative == AGREES:
        return base
    base_since_ns = relative.since_ns - relative.ahead_ns
    base_ahead_ns = base.ahead_at(np.array([base_since_ns], np.int64)).item()
    return Clock(
        ahead_ns=relative.ahead_ns + base_ahead_ns,
        error_ns=relative.error_ns + base.error_ns,
        known=True,
        drift=relative.drift + base.drift,
        since_ns=relative.since_ns,
    )


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
    ends_apart = end - base_end
    drifting = _drifting(end, ends_apart)

    # No call ends on one rank before it has begun on the other.
    least_ahead = start - base_end
    most_ahead = end - base_start
    agreement_is_possible = (
        least_ahead.max() <= CONVERSION_NS and most_ahead.min() >= -CONVERSION_NS
    )
    if one_clock and agreement_is_possible and drifting is None:
        return AGREES
    told = drifting or Clock(int(np.median(ends_apart)), 0, known=True)

    # What no call contradicts bounds the error; where they contradict each other, how ends vary.
    drifted_by = told.ahead_at(end) - told.ahead_ns
    least_ns = int((least_ahead - drifted_by).max())
    most_ns = int((most_ahead - drifted_by).min())
    if least_ns > most_ns:
        left_over = ends_apart - told.ahead_at(end)
        return replace(told, error_ns=int(_usual_error(left_over)))
    ahead_ns = min(max(told.ahead_ns, least_ns), most_ns)
    error_ns = max(ahead_ns - least_ns, most_ns - ahead_ns)
    return replace(told, ahead_ns=ahead_ns, error_ns=error_ns)


def _usual_error(apart: Float64 | Int64) -> float:
    """Return how far from 0 nearly all of some distances are, in ns."""
    return float(np.quantile(np.abs(apart), 0.95))


def _drifting(end: Int64, apart: Int64) -> Clock | None:
    """Return a clock that drifts, where that explains how far apart ends are; else None."""
    if end.size < ENOUGH_FOR_DRIFT:
        return None
    drift = _median_slope(end, apart)
    if abs(drift) > MOST_DRIFT:
        return None
    since_ns = int(end[end.size // 2])
    without_drift = apart - drift * (end - since_ns)
    ahead_ns = int(np.median(without_drift))
    steady_error = _usual_error(apart - np.median(apart))
    drift_error = _usual_error(without_drift - ahead_ns)
    if steady_error < CONVERSION_NS or drift_error > DRIFT_EXPLAINS * steady_error:
        return None
    return Clock(ahead_ns, 0, known=True, drift=drift, since_ns=since_ns)


def _median_slope(time: Int64, apart: Int64) -> float:
    """Return the slope of a line through distances over time: Theil and Sen's estimate.

    The medians of blocks of calls lie on it: robust against calls that ended by themselves.
    """
    blocks = np.array_split(np.arange(time.size), DRIFT_BLOCKS)
    block_time = np.array([np.median(time[block]) for block in blocks])
    block_apart = np.array([np.median(apart[block]) for block in blocks])
    first, second = np.triu_indices(DRIFT_BLOCKS, 1)
    rise = block_apart[second] - block_apart[first]
    elapsed = block_time[second] - block_time[first]
    return float(np.median(rise / np.maximum(elapsed, 1)))


def _times(
    ranks: Sequence[RankTimeline], calls: MatchedCalls, rank: int
) -> tuple[Int64, Int64]:
    rows = calls.rows[int(np.flatnonzero(calls.ranks == rank)[0])]
    rank_calls = ranks[rank].calls
    return rank_calls.start[rows], rank_calls.end[rows]
