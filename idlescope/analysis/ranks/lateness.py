"""Which rank the others wait for, and why it was last: its host was late, or it computed longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.ranks.matching import MatchedCalls
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.analysis.ranks.waiting import Releases
from idlescope.trace.table import Int64

_WaitedInStep = dict[int, dict[int, int]]  # step -> rank -> ns that it was waited for


@dataclass(frozen=True)
class Lateness:
    """What all calls tell of who was waited for. Nanoseconds of exposed waiting.

    The rows of `waited` are ranks that waited, its columns those that they waited for. Of what a
    rank was waited for, `idle` is for its device's idle time since the collective before, beyond
    that of the rank that waited (`host`: the part of it that its host caused), and `compute` for
    longer computing; the rest has neither reason.
    """

    waited: Int64  # ranks × ranks
    idle: Int64
    host: Int64
    compute: Int64
    steps_last: Int64  # in how many steps each rank was the one that was waited for longest


def lateness(
    ranks: Sequence[RankTimeline],
    releases: Sequence[Releases],
    matched: Sequence[MatchedCalls],
) -> Lateness:
    """Return who was waited for, and why, over all matched calls."""
    count = len(ranks)
    waited = np.zeros((count, count), np.int64)
    reasons = np.zeros((3, count), np.int64)
    spans = [_since_the_one_before(rank) for rank in ranks]
    by_step: _WaitedInStep = {}
    for calls in matched:
        exposed_waits = [
            _exposed(ranks[rank], releases[rank].time[rows], rows)
            for rank, rows in calls.by_rank
        ]
        found = np.stack(exposed_waits)
        first_rank, first_rows = calls.by_rank[0]
        last_rank = releases[first_rank].last[first_rows]
        last = np.searchsorted(calls.ranks, last_rank)
        collective = np.arange(last.size)
        np.add.at(waited, (calls.ranks[:, None], last_rank[None, :]), found)
        # What each rank did since its collective before: idle, idle of its host, computing.
        for reason in range(3):
            did = np.stack([spans[rank][reason][rows] for rank, rows in calls.by_rank])
            more = did[last, collective] - did
            because = np.clip(more, 0, found)
            np.add.at(reasons[reason], last_rank, because.sum(0))
        steps = ranks[first_rank].calls.step[first_rows]
        _add_steps(by_step, steps, last_rank, found)
    idle, host, compute = reasons
    return Lateness(waited, idle, host, compute, _steps_last(by_step, count))


def _exposed(rank: RankTimeline, release: Int64, rows: Int64) -> Int64:
    """Return how long each of some calls waited while its device computed nothing."""
    start = rank.calls.start[rows]
    return release - start - _covered(rank.computing, start, release)


def _since_the_one_before(rank: RankTimeline) -> tuple[Int64, Int64, Int64]:
    """Return what a rank did between the end of the calls before each call and its start."""
    start, end = rank.calls.start, rank.calls.end
    before = np.minimum(np.maximum.accumulate(np.append(start[:1], end[:-1])), start)
    return (
        _covered(rank.idle, before, start),
        _covered(rank.host_idle, before, start),
        _covered(rank.computing, before, start),
    )


def _covered(disjoint: Intervals, start: Int64, end: Int64) -> Int64:
    until_end = intervals.covered_before(disjoint, end)
    return until_end - intervals.covered_before(disjoint, start)


def _add_steps(
    by_step: _WaitedInStep, steps: Int64, last_rank: Int64, exposed: Int64
) -> None:
    """Add to each step how long each rank was waited for in it."""
    in_all = exposed.sum(0)
    pairs = np.stack((steps, last_rank), 1)
    distinct, row = np.unique(pairs, axis=0, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, row.reshape(-1), in_all)
    for (step, rank), total in zip(distinct.tolist(), totals.tolist(), strict=True):
        if step >= 0 and total:
            of_step = by_step.setdefault(step, {})
            of_step[rank] = of_step.get(rank, 0) + total


def _steps_last(by_step: _WaitedInStep, count: int) -> Int64:
    steps_last = np.zeros(count, np.int64)
    for of_step in by_step.values():
        steps_last[max(of_step, key=lambda rank: of_step[rank])] += 1
    return steps_last
