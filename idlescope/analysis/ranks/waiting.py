"""How long each call of a collective waited for the last rank, and which rank that was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.ranks.matching import KeyedCalls, MatchedCalls
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.trace.table import Bool, Int64

NOBODY = -1
P2P_CLUSTER_NS = 50_000  # a send and its receive end no further apart


class Releases(Struct, frozen=True):
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

    def timed(self, change: Callable[[Int64], Int64], rank: RankTimeline) -> Releases:
        """Return the releases by another clock, that of `rank`, whose calls they are."""
        time = np.clip(change(self.time), rank.calls.start, rank.calls.end)
        return replace(self, time=time)


class WaitingTime(Struct, frozen=True):
    """The communication of one rank, divided; the parts add up to it to the nanosecond."""

    # disjoint, by the rank's own clock: the device only waits for another rank in all its calls
    waiting: Intervals
    waiting_ns: int
    transfer_ns: int  # in some call that the last rank has joined
    unmatched_ns: int  # calls of which nothing tells whom they are with
    exposed_waiting_ns: int  # waiting while nothing is computed


def by_start(
    ranks: Sequence[RankTimeline], releases: Sequence[Releases], calls: MatchedCalls
) -> None:
    """Note for matched calls that they could go on when the last rank had begun."""
    starts = calls.column(ranks, "start")
    latest = starts.max(0)
    last = calls.ranks[starts.argmax(0)]
    for rank, rows in calls.by_rank:
        _note(ranks[rank], releases[rank], rows, latest, last)


def by_duration(
    ranks: Sequence[RankTimeline], releases: Sequence[Releases], calls: MatchedCalls
) -> None:
    """Note the same without clocks: what a call takes longer than the shortest one was waiting.

    The shortest is that of the last rank.
    """
    lengths = calls.column(ranks, "length")
    shortest = lengths.min(0)
    last = calls.ranks[lengths.argmin(0)]
    for rank, rows in calls.by_rank:
        release = ranks[rank].calls.end[rows] - shortest
        _note(ranks[rank], releases[rank], rows, release, last)


def by_pair(
    ranks: Sequence[RankTimeline], releases: Sequence[Releases], keyed: KeyedCalls
) -> int:
    """Note for sends and receives that they could go on when the other side had begun.

    Which belong together, the clock tells: both end at the same time. Returns how long all of them
    waited, in ns.
    """
    calls_of_each = [rows.size for rows in keyed.rows]
    owner = np.repeat(keyed.ranks, calls_of_each)
    rows = np.concatenate(keyed.rows)
    start = np.concatenate(keyed.columns(ranks, "start"))
    end = np.concatenate(keyed.columns(ranks, "end"))

    # Both sides can go on when the later one has begun.
    pair = _clusters(end)
    last_call = _last_to_start(pair, start)
    release, last = start[last_call], owner[last_call]
    calls_of_pair = np.bincount(pair)
    has_partner = calls_of_pair[pair] > 1
    for rank in keyed.ranks:
        own = np.flatnonzero((owner == rank) & has_partner)
        _note(ranks[rank], releases[rank], rows[own], release[own], last[own])

    released_within = np.clip(release, start, end)
    waited = released_within - start
    return int(waited[has_partner].sum())


def _clusters(end: Int64) -> Int64:
    """Return the number of the cluster of each call: its calls end one soon after the other."""
    by_end = np.argsort(end, kind="stable")
    begins = np.append(False, np.diff(end[by_end]) > P2P_CLUSTER_NS)
    cluster = np.empty(end.size, np.int64)
    cluster[by_end] = np.cumsum(begins)
    return cluster


def _last_to_start(cluster: Int64, start: Int64) -> Int64:
    """Return for each call the one of its cluster that started last."""
    by_cluster = np.lexsort((start, cluster))
    sizes = np.bincount(cluster)
    last = by_cluster[np.cumsum(sizes) - 1]
    return last[cluster]


def divide(rank: RankTimeline, releases: Releases) -> WaitingTime:
    """Return how one rank's communication divides."""
    calls = rank.calls
    matched = np.flatnonzero(releases.matched)
    transfer = intervals.union(releases.time[matched], calls.end[matched])
    others = np.flatnonzero(~releases.matched)
    of_others = intervals.union(calls.start[others], calls.end[others])
    unmatched = intervals.subtract(of_others, transfer)

    told = intervals.subtract(rank.covered, unmatched)
    waiting = intervals.subtract(told, transfer)
    exposed_waiting = intervals.subtract(waiting, rank.computing)
    told_ns = told.measure
    waiting_ns = waiting.measure
    return WaitingTime(
        waiting=waiting,
        waiting_ns=waiting_ns,
        transfer_ns=told_ns - waiting_ns,
        unmatched_ns=rank.covered.measure - told_ns,
        exposed_waiting_ns=exposed_waiting.measure,
    )


def _note(
    rank: RankTimeline, releases: Releases, rows: Int64, time: Int64, last: Int64
) -> None:
    start, end = rank.calls.start[rows], rank.calls.end[rows]
    releases.time[rows] = np.clip(time, start, end)
    releases.last[rows] = last
    releases.matched[rows] = True
