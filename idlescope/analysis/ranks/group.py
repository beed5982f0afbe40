"""The ranks of a job as one story: who waited for whom, for how long, and why."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from msgspec import Struct

from idlescope.analysis.intervals import percent
from idlescope.analysis.ranks import layout, matching, waiting
from idlescope.analysis.ranks.clocks import Clock, clocks
from idlescope.analysis.ranks.lateness import Lateness, lateness
from idlescope.analysis.ranks.matching import KeyedCalls, MatchedCalls
from idlescope.analysis.ranks.pair_clocks import with_pairs
from idlescope.analysis.ranks.rank import RankPrediction, RankSummary
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.analysis.ranks.waiting import Releases, WaitingTime
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.trace.names.communication import COLLECTIVES, Collective


class Group(Struct, frozen=True, dict=True):
    """What the ranks of one job did together. Lists have one entry per rank, in order."""

    ranks: tuple[RankSummary, ...]
    clocks: tuple[Clock, ...]
    waiting: tuple[WaitingTime, ...]
    lateness: Lateness
    collectives: tuple[Collective, ...]  # what they do together, the most frequent first
    pairs_waited_ns: int  # in sends and receives of a pipeline, all ranks together; 0: none
    parallel: str  # "TP 2", "PP 2 × TP 4": how the ranks divide the work; empty: not told
    absent: tuple[int, ...]  # numbers of the job's ranks that are not among these

    @property
    def communicates(self) -> bool:
        """Return whether anything tells what the ranks do together."""
        return any(part.waiting_ns + part.transfer_ns for part in self.waiting)

    @cached_property
    def waiting_pct(self) -> tuple[float, ...]:
        """Return for each rank the share of its time at work in which it only waits for others."""
        return tuple(
            percent(part.exposed_waiting_ns, rank.at_work_ns)
            for rank, part in zip(self.ranks, self.waiting, strict=True)
        )

    def peers(self, index: int) -> list[int]:
        """Return the indices of the ranks that make calls of collectives with one."""
        row = self.lateness.peers[index]
        return [other for other in np.flatnonzero(row).tolist() if other != index]

    @property
    def steps(self) -> int:
        """Return how many steps the group made: the usual number of its ranks."""
        counts = [rank.steps for rank in self.ranks if rank.steps]
        return int(np.median(counts)) if counts else 0

    @property
    def step_ns(self) -> float | None:
        """Return the time of a step: ranks that step together take equally long."""
        times = sorted(rank.step_ns for rank in self.ranks if rank.step_ns is not None)
        if not times:
            return None
        # the median: np.median imports numpy.ma where numbers have decimals, 10 ms
        middle = len(times) // 2
        return (times[middle] + times[-1 - middle]) / 2

    @property
    def waited_for(self) -> int | None:
        """Return the index of the rank for which the others wait most; None for no waiting."""
        in_all = self.lateness.waited.sum(0)
        return int(in_all.argmax()) if in_all.any() else None

    @property
    def driver(self) -> RankSummary:
        """Return the rank that sets the pace: the one that is waited for most, else the busiest."""
        late = self.waited_for
        if late is not None:
            return self.ranks[late]
        return max(self.ranks, key=lambda rank: rank.window_ns - rank.idle_ns)

    @property
    def batching(self) -> BatchingKind:
        """Return the batching of the rank that sets the pace, else of one that tells."""
        if self.driver.batching != BatchingKind.UNKNOWN:
            return self.driver.batching
        telling = (rank.batching for rank in self.ranks)
        return next(
            (kind for kind in telling if kind != BatchingKind.UNKNOWN), BatchingKind.UNKNOWN
        )

    @property
    def predicted_step_ns(self) -> float | None:
        """Return the time of a step with asynchronous batching; None where it cannot be told.

        It is that of the rank that sets the pace; no rank can be faster than its own work, which
        is all that its device does but waiting for the others.
        """
        prediction = self.prediction
        if prediction is None:
            return None
        return max(prediction.step_ns, self.least_step_ns or 0.0)

    @property
    def prediction(self) -> RankPrediction | None:
        """Return the prediction of the rank that sets the pace, else of one whose waits tell."""
        telling = (rank for rank in (self.driver, *self.ranks) if not rank.driven)
        of_telling = (
            rank.prediction for rank in telling if rank.batching != BatchingKind.UNKNOWN
        )
        return next((found for found in of_telling if found is not None), None)

    @property
    def least_step_ns(self) -> float | None:
        """Return the device's work for a step without any waiting, of the rank that has most."""
        works = [
            (rank.busy_ns - part.exposed_waiting_ns) / rank.steps
            for rank, part in zip(self.ranks, self.waiting, strict=True)
            if rank.steps
        ]
        return max(works, default=None)


def group(
    ranks: Sequence[RankSummary], one_clock: bool, one_recorder: bool = False
) -> Group:
    """Return what some ranks did together; `one_clock`: their times are on the clock of a host.

    `one_recorder`: that is beyond doubt, since one program recorded all of them. Of several hosts
    the clocks are brought together by the ends of collectives.
    """
    times = [rank.times for rank in ranks]
    places = [rank.place for rank in ranks]
    by_key = matching.by_key(times, COLLECTIVES)
    matched: list[MatchedCalls] = []
    pairs: list[KeyedCalls] = []
    for keyed in by_key:
        if matching.is_in_pairs(times, keyed, one_clock):
            pairs.append(keyed)
            continue
        for members in layout.members(keyed, times, places, one_clock):
            matched += matching.match(times, keyed, members, one_clock)
    rank_clocks = clocks(times, matched, one_clock)
    on_one_clock = _by_clocks(times, rank_clocks)
    # Sends and receives have one kernel, whichever stream they run on.
    sent = matching.together(pairs) if pairs else None
    if sent is not None and not one_recorder:
        by_pairs = with_pairs(on_one_clock, sent, matched, rank_clocks)
        if by_pairs is None:
            sent = None
        else:
            rank_clocks, on_one_clock = by_pairs, _by_clocks(times, by_pairs)
    releases = [Releases.none(rank_times) for rank_times in on_one_clock]
    for calls in matched:
        known = all(rank_clocks[rank].known for rank in calls.ranks.tolist())
        note = waiting.by_start if known else waiting.by_duration
        note(on_one_clock, releases, calls)
    pairs_known = sent is not None and all(clock.known for clock in rank_clocks)
    pairs_waited_ns = 0
    if sent is not None and pairs_known:
        pairs_waited_ns = waiting.by_pair(on_one_clock, releases, sent)
    # By each rank's own clock: the parts of its communication add up to the nanosecond.
    divided = [
        waiting.divide(rank_times, released.timed(clock.from_first, rank_times))
        for rank_times, released, clock in zip(times, releases, rank_clocks, strict=True)
    ]
    return Group(
        ranks=tuple(ranks),
        clocks=tuple(rank_clocks),
        waiting=tuple(divided),
        lateness=lateness(on_one_clock, releases, matched),
        collectives=_most_frequent(by_key),
        pairs_waited_ns=pairs_waited_ns,
        parallel=layout.parallel(
            places,
            [(calls.collective, calls.ranks.size) for calls in matched],
            len(ranks) if pairs_known else 0,
        ),
        absent=tuple(layout.absent(places)),
    )


def _by_clocks(
    times: Sequence[RankTimeline], rank_clocks: Sequence[Clock]
) -> list[RankTimeline]:
    """Return the times of ranks as the first rank's clock shows them."""
    return [
        rank_times.timed(clock.to_first)
        for rank_times, clock in zip(times, rank_clocks, strict=True)
    ]


def _most_frequent(by_key: Sequence[KeyedCalls]) -> tuple[Collective, ...]:
    counts: dict[Collective, int] = {}
    for keyed in by_key:
        calls = sum(rows.size for rows in keyed.rows)
        counts[keyed.collective] = counts.get(keyed.collective, 0) + calls
    return tuple(sorted(counts, key=lambda what: -counts[what]))
