"""Which calls of a collective belong together: the n-th of each rank, of one key and one group."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.ranks.timeline import CallKey, RankTimeline
from idlescope.trace.distinct import distinct
from idlescope.trace.names.communication import Collective
from idlescope.trace.table import Int64

# Recordings of ranks begin and end a little apart: calls may be missing at the start of one.
MOST_SHIFT = 64  # shifts that are tried for that, beside those that the times suggest
AROUND = 2
LEAST_COMMON = 0.5  # of the calls of the rank that has fewest
SAMPLE = 512  # calls that are looked at for each shift
TOGETHER_NS = 20_000  # the ends of one collective are no further apart
EQUAL_NS = 2_000  # spreads so close are equal
ONE_CLOCK_NS = 1_000_000  # calls that belong together end no further apart on one clock
MOST_AT_ONCE = 0.2  # of the computing of the stage that has less: they take turns
ENOUGH_TO_ANSWER = 4  # calls of each of two stages
# Of what the n-th calls of two ranks have both there for: so little of that is left where sends are
# put to receives. What experts are sent and send back differs by less.
ANSWERS = 0.2
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
    each end together. Of two ranks so do those of a pipeline, whose stages compute by turns.
    """
    if keyed.collective != Collective.SEND_RECV:
        return False
    counts = {rows.size for rows in keyed.rows}
    if len(counts) > 1 or not one_clock:
        return not keyed.key.group or len(keyed.ranks) > 2
    if _end_apart(keyed.columns(ranks, "end")):
        return True
    if len(keyed.ranks) != 2:
        return False
    (one, rows), (other, other_rows) = keyed.by_rank
    return compute_by_turns(ranks[one], ranks[other]) or answer_each_other(
        ranks[one], rows, ranks[other], other_rows
    )


def _end_apart(ends: Sequence[Int64]) -> bool:
    """Return whether the n-th calls of several ranks, of as many each, do not end together."""
    first, *others = ends
    medians = [_distances(first, other, 0).median for other in others]
    return any(abs(median) > TOGETHER_NS for median in medians)


def answer_each_other(
    one: RankTimeline, rows: Int64, other: RankTimeline, other_rows: Int64
) -> bool:
    """Return whether each send of two ranks is of a receive before or after it, by their lengths.

    No clock is asked. Where the n-th calls of both belong together, the shorter one is the transfer
    alone; a pipeline's are both receives, which wait, or both sends. Both ranks make as many calls.
    """
    length, other_length = one.calls.length[rows], other.calls.length[other_rows]
    if length.size < ENOUGH_TO_ANSWER:
        return False
    nth_ns = np.minimum(length, other_length)[:-1].sum()
    before_ns = np.minimum(length[1:], other_length[:-1]).sum()
    after_ns = np.minimum(length[:-1], other_length[1:]).sum()
    return bool(min(before_ns, after_ns) <= ANSWERS * nth_ns)


def compute_by_turns(one: RankTimeline, other: RankTimeline) -> bool:
    """Return whether two ranks hardly ever compute at the same time."""
    both = one.computing.measure + other.computing.measure
    either = intervals.union(
        np.concatenate((one.computing.start, other.computing.start)),
        np.concatenate((one.computing.end, other.computing.end)),
    )
    at_once_ns = both - either.measure
    least_ns = min(one.computing.measure, other.computing.measure)
    return at_once_ns <= MOST_AT_ONCE * least_ns


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
) -> list[MatchedCalls]:
    """Return the calls of a key that some ranks made together; [] for fewer than two of them.

    Recordings begin and end at different times: which calls belong together is told by when they
    end. What all recordings hold is matched between all ranks, what only some of them hold between
    those.
    """
    place = {rank: position for position, rank in enumerate(keyed.ranks)}
    taking_part = [rank for rank in members if rank in place]
    if len(taking_part) < 2:
        return []
    rows = [keyed.rows[place[rank]] for rank in taking_part]
    ends = [
        ranks[rank].calls.end[rank_rows]
        for rank, rank_rows in zip(taking_part, rows, strict=True)
    ]
    shifts = _shifts(ends, one_clock)

    # Position p of the common sequence is call p + shift of each rank.
    calls = np.array([rank_rows.size for rank_rows in rows], np.int64)
    first = -np.array(shifts, np.int64)
    last = first + calls
    matched = []
    for low, high in pairwise(distinct(first, last).tolist()):
        present = np.flatnonzero((first <= low) & (last >= high)).tolist()
        if len(present) < 2:
            continue
        held_by = [taking_part[index] for index in present]
        stretches = [
            rows[index][low + shifts[index] : high + shifts[index]] for index in present
        ]
        matched_rows = np.stack(stretches)
        matched.append(MatchedCalls(np.array(held_by), matched_rows, keyed.collective))
    return matched


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
    shifts whose distances vary least, the one that has clocks agree that are said to be one; where
    none does, the one that leaves out least.
    """
    fits = {}
    for shift in _candidates(reference, ends):
        fits[shift] = _distances(reference, ends, shift)
    least_spread = min(fit.spread for fit in fits.values())
    plausible = {}
    for shift, fit in fits.items():
        if fit.spread <= 2 * least_spread + EQUAL_NS:
            plausible[shift] = abs(fit.median)
    if one_clock:
        agreeing = [shift for shift in plausible if plausible[shift] <= ONE_CLOCK_NS]
        as_they_are = 0 in agreeing and reference.size == ends.size
        if agreeing and not as_they_are:
            return min(agreeing, key=lambda shift: (plausible[shift], abs(shift)))
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
    spread: float  # the mean distance from that: most layers of a model take equally long


def _distances(reference: Int64, ends: Int64, shift: int) -> _Distances:
    first = max(0, -shift)
    last = min(reference.size, ends.size - shift)
    step = max(1, (last - first) // SAMPLE)
    position = np.arange(first, last, step)
    apart = ends[position + shift] - reference[position]
    median = float(np.median(apart))
    return _Distances(median, float(np.abs(apart - median).mean()))
