"""Which calls of a collective belong together: the n-th of each rank, of one key and one group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idlescope.analysis.ranks.timeline import CallKey, RankTimeline
from idlescope.trace.names.communication import Collective
from idlescope.trace.table import Int64

# Recordings of ranks begin and end a little apart: calls may be missing at the start of one.
MOST_SHIFT = 64  # shifts that are tried for that, beside those that the times suggest
AROUND = 2
LEAST_COMMON = 0.5  # of the calls of the rank that has fewest
SAMPLE = 512  # calls that are looked at for each shift
TOGETHER_NS = 20_000  # the ends of one collective are no further apart
EQUAL_NS = 2_000  # spreads so close are equal
# Of what all ranks of a group take part in, one cannot end before the last has begun.
SYNCHRONISING = (
    Collective.ALL_REDUCE,
    Collective.ALL_GATHER,
    Collective.REDUCE_SCATTER,
    Collective.ALL_TO_ALL,
    Collective.BARRIER,
    Collective.OTHER,
)


class MatchedCalls(NamedTuple):
    """Calls of one collective by the ranks of a group: a row per rank, a column per collective."""

    ranks: Int64  # indices of the ranks
    rows: Int64  # of each rank's calls
    collective: Collective

    @property
    def synchronises(self) -> bool:
        """Return whether none of them can end before all have begun."""
        return self.collective in SYNCHRONISING

    @property
    def by_rank(self) -> list[tuple[int, Int64]]:
        """Return each rank with the rows of its calls."""
        return list(zip(self.ranks.tolist(), self.rows, strict=True))

    def column(self, ranks: Sequence[RankTimeline], name: str) -> Int64:
        """Return a column of the calls: a row per rank, a column per collective."""
        columns = [getattr(ranks[rank].calls, name)[rows] for rank, rows in self.by_rank]
        return np.stack(columns)


class KeyedCalls(NamedTuple):
    """The calls of one key, rank by rank; ranks without any are left out."""

    key: CallKey
    collective: Collective
    ranks: list[int]
    rows: list[Int64]

    @property
    def by_rank(self) -> list[tuple[int, Int64]]:
        """Return each rank with the rows of its calls."""
        return list(zip(self.ranks, self.rows, strict=True))

    def columns(self, ranks: Sequence[RankTimeline], name: str) -> list[Int64]:
        """Return a column of each rank's calls."""
        return [getattr(ranks[rank].calls, name)[rows] for rank, rows in self.by_rank]


def by_key(
    ranks: Sequence[RankTimeline], collectives: Sequence[Collective]
) -> list[KeyedCalls]:
    """Return the calls of all ranks by key; `collectives` are those that codes stand for."""
    found: dict[CallKey, KeyedCalls] = {}
    for rank_index, rank in enumerate(ranks):
        for key, rows in zip(rank.keys, _rows_of_keys(rank), strict=True):
            code = int(rank.calls.collective[rows[0]])
            nothing_yet = KeyedCalls(key, collectives[code], [], [])
            keyed = found.setdefault(key, nothing_yet)
            keyed.ranks.append(rank_index)
            keyed.rows.append(rows)
    return list(found.values())


def _rows_of_keys(rank: RankTimeline) -> list[Int64]:
    """Return the rows of a rank's calls of each key, in order."""
    if not rank.keys:
        return []
    by_key_then_start = np.argsort(rank.calls.key, kind="stable")
    counts = np.bincount(rank.calls.key, minlength=len(rank.keys))
    return np.split(by_key_then_start, np.cumsum(counts)[:-1])


def is_in_pairs(ranks: Sequence[RankTimeline], keyed: KeyedCalls, one_clock: bool) -> bool:
    """Return whether sends and receives are those of neighbours, as in a pipeline.

    NCCL's all-to-all is a group of sends and receives, too: all ranks make as many, and the n-th of
    each end together.
    """
    if keyed.collective != Collective.SEND_RECV or keyed.key.group:
        return False
    if len({rows.size for rows in keyed.rows}) > 1 or not one_clock:
        return True
    first_ends, *other_ends = keyed.columns(ranks, "end")
    apart = [_distances(first_ends, ends, 0).median for ends in other_ends]
    return max(map(abs, apart), default=0.0) > TOGETHER_NS


def together(several: Sequence[KeyedCalls]) -> KeyedCalls:
    """Return the calls of several keys as those of one, in the order of each rank's calls."""
    rows: dict[int, list[Int64]] = {}
    for keyed in several:
        for rank, rank_rows in keyed.by_rank:
            rows.setdefault(rank, []).append(rank_rows)
    ranks = sorted(rows)
    joined = [np.sort(np.concatenate(rows[rank])) for rank in ranks]
    return KeyedCalls(several[0].key, several[0].collective, ranks, joined)


def match(
    ranks: Sequence[RankTimeline],
    keyed: KeyedCalls,
    members: Sequence[int],
    one_clock: bool,
) -> MatchedCalls | None:
    """Return the calls of a key that some ranks made together; None for fewer than two of them.

    Where one rank has more calls than another, its recording began earlier or ended later: what is
    left out is told by when the calls end, where the clock is one.
    """
    place = {rank: position for position, rank in enumerate(keyed.ranks)}
    taking_part = [rank for rank in members if rank in place]
    if len(taking_part) < 2:
        return None
    rows = [keyed.rows[place[rank]] for rank in taking_part]
    ends = [
        ranks[rank].calls.end[rank_rows]
        for rank, rank_rows in zip(taking_part, rows, strict=True)
    ]
    shifts = _shifts(ends, one_clock)
    # Position p of the common sequence is call p + shift of each rank.
    first = max(-shift for shift in shifts)
    last = min(
        len(rank_rows) - shift for rank_rows, shift in zip(rows, shifts, strict=True)
    )
    if last <= first:
        return None
    together = np.stack(
        [
            rank_rows[first + shift : last + shift]
            for rank_rows, shift in zip(rows, shifts, strict=True)
        ]
    )
    return MatchedCalls(np.array(taking_part, np.int64), together, keyed.collective)


def _shifts(ends: Sequence[Int64], one_clock: bool) -> list[int]:
    """Return how many calls each rank has before the first that all have in common.

    The rank with the fewest calls is the measure of the others.
    """
    reference = min(ends, key=len)
    return [
        0 if rank_ends is reference else _shift(reference, rank_ends, one_clock)
        for rank_ends in ends
    ]


def _shift(reference: Int64, ends: Int64, one_clock: bool) -> int:
    """Return by how many calls `ends` are ahead of the reference's.

    Calls that belong together end at the same distance from each other, that of the clocks: of the
    shifts whose distances vary least, none counts where both ranks have as many calls; else the one
    that has the clocks closest together, or, where nothing is known of them, leaves out least.
    """
    fits = [
        (shift, _distances(reference, ends, shift))
        for shift in _candidates(reference, ends)
    ]
    spreads = [fit.spread for _, fit in fits]
    allowed = 2 * min(spreads) + EQUAL_NS
    plausible = {
        shift: fit.median
        for (shift, fit), spread in zip(fits, spreads, strict=True)
        if spread <= allowed
    }
    if 0 in plausible and reference.size == ends.size:
        return 0
    if one_clock:
        return min(plausible, key=lambda shift: (abs(plausible[shift]), abs(shift)))
    return min(plausible, key=abs)


def _candidates(reference: Int64, ends: Int64) -> list[int]:
    """Return the shifts that may be: none, all that one rank has more, and as the times say."""
    more = ends.size - reference.size
    nearest = np.searchsorted(ends, reference) - np.arange(reference.size)
    usual = int(np.median(nearest))
    by_time = range(usual - AROUND, usual + AROUND + 1)
    all_candidates = {0, more, *range(min(more, MOST_SHIFT) + 1), *by_time}
    return [shift for shift in sorted(all_candidates) if _common(reference, ends, shift)]


def _common(reference: Int64, ends: Int64, shift: int) -> int:
    """Return how many calls a shift puts together; 0 for few of them."""
    common = min(reference.size, ends.size - shift) - max(0, -shift)
    return common if common >= LEAST_COMMON * reference.size else 0


class _Distances(NamedTuple):
    """How far apart calls end that were put together, in nanoseconds."""

    median: float
    spread: float  # the median distance from that


def _distances(reference: Int64, ends: Int64, shift: int) -> _Distances:
    first = max(0, -shift)
    last = min(reference.size, ends.size - shift)
    step = max(1, (last - first) // SAMPLE)
    position = np.arange(first, last, step)
    apart = ends[position + shift] - reference[position]
    median = float(np.median(apart))
    return _Distances(median, float(np.median(np.abs(apart - median))))
