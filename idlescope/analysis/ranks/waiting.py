"""How long each call of a collective waited for the last rank, and which rank that was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.ranks.matching import KeyedCalls, MatchedCalls
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.trace.table import Bool, Int64

NOBODY = -1
P2P_CLUSTER_NS = 50_000  # a send and its receive end no further apart


@dataclass(frozen=True)
class Releases:
    """When each call of one rank could go on: when the last rank of its collective had begun."""

    time: Int64  # ns on the rank's clock; within the call
    last: Int64  # index of the rank that began last; NOBODY: not matched
    matched: Bool

    @classmethod
    def none(cls, rank: RankTimeline) -> Releases:
        """Return those of a rank none of whose calls is matched yet."""
        count = len(rank.calls)
        nobody = np.full(count, NOBODY, np.int64)
        return cls(rank.calls.start.copy(), nobody, np.zeros(count, np.bool_))


@dataclass(frozen=True)
class WaitingTime:
    """The communication of one rank, divided; the parts add up to it to the nanosecond."""

    waiting: Intervals  # disjoint: the device only waits for another rank in all its calls
    waiting_ns: int
    transfer_ns: int  # in some call that the last rank has joined
    unmatched_ns: int  # calls of which nothing tells whom they are with
    exposed_waiting_ns: int  # waiting while nothing is computed


def by_start(
    ranks: Sequence[RankTimeline], releases: Sequence[Releases], calls: MatchedCalls
) -> None:
    """Note for matched calls that they could go on when the last rank had begun."""
    starts = _column(ranks, calls, "start")
    latest = starts.max(0)
    last = calls.ranks[starts.argmax(0)]
    for rank, rows in zip(calls.ranks.tolist(), calls.rows, strict=True):
        _note(ranks[rank], releases[rank], rows, latest, last)


def by_duration(
    ranks: Sequence[RankTimeline], releases: Sequence[Releases], calls: MatchedCalls
) -> None:
    """Note the same without clocks: what a call takes longer than the shortest one was waiting.

    The shortest is that of the last rank.
    """
    lengths = _column(ranks, calls, "length")
    shortest = lengths.min(0)
    last = calls.ranks[lengths.argmin(0)]
    for rank, rows in zip(calls.ranks.tolist(), calls.rows, strict=True):
        release = ranks[rank].calls.end[rows] - shortest
        _note(ranks[rank], releases[rank], rows, release, last)


def by_pair(
    ranks: Sequence[RankTimeline], releases: Sequence[Releases], keyed: KeyedCalls
) -> int:
    """Note for sends and receives that they could go on when the other side had begun.

    Which belong together, the clock tells: both end at the same time. Returns how long all of them
    waited, in ns.
    """
    owner = np.repeat(keyed.ranks, [rows.size for rows in keyed.rows])
    rows = np.concatenate(keyed.rows)
    start = np.concatenate(
        [
            ranks[rank].calls.start[own]
            for rank, own in zip(keyed.ranks, keyed.rows, strict=True)
        ]
    )
    end = np.concatenate(
        [
            ranks[rank].calls.end[own]
            for rank, own in zip(keyed.ranks, keyed.rows, strict=True)
        ]
    )
    by_end = np.argsort(end, kind="stable")
    owner, rows, start, end = owner[by_end], rows[by_end], start[by_end], end[by_end]

    # A cluster ends where the next call ends much later.
    begins = np.append(True, np.diff(end) > P2P_CLUSTER_NS)
    cluster = np.cumsum(begins) - 1
    order = np.lexsort((start, cluster))
    last_of_cluster = order[np.append(np.flatnonzero(begins)[1:] - 1, end.size - 1)]
    latest = start[last_of_cluster][cluster]
    last = owner[last_of_cluster][cluster]
    several = np.bincount(cluster)[cluster] > 1
    for rank in keyed.ranks:
        own = (owner == rank) & several
        _note(ranks[rank], releases[rank], rows[own], latest[own], last[own])
    waited = np.clip(latest, start, end) - start
    return int(waited[several].sum())


def divide(rank: RankTimeline, releases: Releases) -> WaitingTime:
    """Return how one rank's communication divides."""
    calls = rank.calls
    matched = releases.matched
    transfer = intervals.union(releases.time[matched], calls.end[matched])
    unmatched = intervals.union(calls.start[~matched], calls.end[~matched])
    unmatched = intervals.subtract(unmatched, transfer)
    told = intervals.subtract(rank.covered, unmatched)
    waiting = intervals.subtract(told, transfer)
    return WaitingTime(
        waiting=waiting,
        waiting_ns=waiting.measure,
        transfer_ns=told.measure - waiting.measure,
        unmatched_ns=rank.covered.measure - told.measure,
        exposed_waiting_ns=intervals.subtract(waiting, rank.computing).measure,
    )


def _column(ranks: Sequence[RankTimeline], calls: MatchedCalls, name: str) -> Int64:
    """Return a column of matched calls: a row per rank."""
    return np.stack(
        [
            getattr(ranks[rank].calls, name)[rows]
            for rank, rows in zip(calls.ranks.tolist(), calls.rows, strict=True)
        ]
    )


def _note(
    rank: RankTimeline, releases: Releases, rows: Int64, time: Int64, last: Int64
) -> None:
    start, end = rank.calls.start[rows], rank.calls.end[rows]
    releases.time[rows] = np.clip(time, start, end)
    releases.last[rows] = last
    releases.matched[rows] = True
