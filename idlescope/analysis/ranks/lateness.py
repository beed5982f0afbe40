"""Which rank the others wait for, and why it was last: its host was late, or it computed longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.ranks.matching import MatchedCalls
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.analysis.ranks.waiting import Releases
from idlescope.trace.table import Bool, Int64


class StepWaits(Struct, frozen=True):
    """For how long a rank was waited for in a step: a row per step and rank that was."""

    step: Int64
    rank: Int64
    waited_ns: Int64  # by all others together, exposed
    kind: Int64  # code of the step's StepKind

    def of(self, ranks: Sequence[int]) -> StepWaits:
        """Return the waits for some ranks, together: a row per step."""
        rows = np.isin(self.rank, ranks)
        step, first, row = np.unique(
            self.step[rows], return_index=True, return_inverse=True
        )
        waited_ns = np.zeros(step.size, np.int64)
        np.add.at(waited_ns, row.reshape(-1), self.waited_ns[rows])
        return StepWaits(step, self.rank[rows][first], waited_ns, self.kind[rows][first])


class Lateness(Struct, frozen=True):
    """What all calls tell of who was waited for. Nanoseconds of exposed waiting.

    The rows of `waited` are ranks that waited, its columns those that they waited for. Of what a
    rank was waited for, `idle` is for its device's idle time since the collective before, beyond
    that of the rank that waited (`host`: the part of it that its host caused), and `compute` for
    longer computing; the rest has neither reason.
    """

    waited: Int64  # ranks × ranks
    peers: Bool  # ranks × ranks: whether they make any calls together
    idle: Int64
    host: Int64
    compute: Int64
    by_step: StepWaits

    @property
    def steps_last(self) -> Int64:
        """Return in how many steps each rank was the one that was waited for longest."""
        waits = self.by_step
        longest_last = np.lexsort((-waits.rank, waits.waited_ns, waits.step))
        of_step_end = np.append(np.diff(waits.step[longest_last]) != 0, True)[
            : waits.step.size
        ]
        longest = waits.rank[longest_last[of_step_end]]
        return np.bincount(longest, minlength=len(self.waited)).astype(np.int64)


def lateness(
    ranks: Sequence[RankTimeline],
    releases: Sequence[Releases],
    matched: Sequence[MatchedCalls],
) -> Lateness:
    """Return who was waited for, and why, over all matched calls."""
    count = len(ranks)
    waited = np.zeros((count, count), np.int64)
    peers = np.zeros((count, count), np.bool_)
    reasons = _Reasons(*np.zeros((3, count), np.int64))
    since_before = [_since_the_one_before(rank) for rank in ranks]
    step_waits: list[StepWaits] = []
    for calls in matched:
        exposed = _exposed_waits(ranks, releases, calls)
        first_rank, first_rows = calls.by_rank[0]
        last_rank = releases[first_rank].last[first_rows]
        np.add.at(waited, (calls.ranks[:, None], last_rank[None, :]), exposed)
        peers[np.ix_(calls.ranks, calls.ranks)] = True

        # What the last rank did for longer than the one that waited explains its waiting.
        last = np.searchsorted(calls.ranks, last_rank)
        of_last = (last, np.arange(last.size))
        for did, total in zip(_did(since_before, calls), reasons, strict=True):
            because = np.clip(did[of_last] - did, 0, exposed)
            np.add.at(total, last_rank, because.sum(0))
        waits = StepWaits(
            step=ranks[first_rank].calls.step[first_rows],
            rank=last_rank,
            waited_ns=exposed.sum(0),
            kind=calls.column(ranks, "kind")[of_last],
        )
        step_waits.append(waits)
    by_step = _by_step(step_waits)
    return Lateness(waited, peers, **reasons._asdict(), by_step=by_step)


class _Reasons(NamedTuple):
    """Time that a rank, or each of many, was idle, was idle for its host, and computed; in ns."""

    idle: Int64
    host: Int64
    compute: Int64


def _did(since_before: Sequence[_Reasons], calls: MatchedCalls) -> _Reasons:
    """Return what ranks did before some calls: a row per rank, a column per collective."""
    of_calls = []
    for rank, rows in calls.by_rank:
        of_calls.append([column[rows] for column in since_before[rank]])
    return _Reasons(*map(np.stack, zip(*of_calls, strict=True)))


def _exposed_waits(
    ranks: Sequence[RankTimeline], releases: Sequence[Releases], calls: MatchedCalls
) -> Int64:
    """Return how long each call waited while nothing computed: a row per rank."""
    waits = [
        _exposed(ranks[rank], releases[rank].time[rows], rows)
        for rank, rows in calls.by_rank
    ]
    return np.stack(waits)


def _exposed(rank: RankTimeline, release: Int64, rows: Int64) -> Int64:
    """Return how long each of some calls waited while its device computed nothing."""
    start = rank.calls.start[rows]
    return release - start - intervals.covered_within(rank.computing, start, release)


def _since_the_one_before(rank: RankTimeline) -> _Reasons:
    """Return what a rank did between the end of the calls before each call and its start."""
    start, end = rank.calls.start, rank.calls.end
    earlier_ends = np.append(start[:1], end[:-1])
    before = np.minimum(np.maximum.accumulate(earlier_ends), start)
    return _Reasons(
        idle=intervals.covered_within(rank.idle, before, start),
        host=intervals.covered_within(rank.host_idle, before, start),
        compute=intervals.covered_within(rank.computing, before, start),
    )


def _by_step(waits: Sequence[StepWaits]) -> StepWaits:
    """Return the waits of calls added up by step and rank; calls of no step are left out."""
    step, rank, waited_ns, kind = (
        _joined([getattr(one, name) for one in waits])
        for name in StepWaits.__struct_fields__
    )
    counted = np.flatnonzero((step >= 0) & (waited_ns > 0))
    pairs = np.stack((step[counted], rank[counted]), 1)
    distinct_pairs, first, pair = np.unique(
        pairs, axis=0, return_index=True, return_inverse=True
    )
    totals = np.zeros(len(distinct_pairs), np.int64)
    np.add.at(totals, pair.reshape(-1), waited_ns[counted])
    first_rows = counted[first]
    return StepWaits(step[first_rows], rank[first_rows], totals, kind[first_rows])


def _joined(columns: Sequence[Int64]) -> Int64:
    return np.concatenate(columns) if columns else np.empty(0, np.int64)
