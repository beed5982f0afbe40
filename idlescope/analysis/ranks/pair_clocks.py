"""Bring the clocks of a pipeline's stages together: a send and its receive end at the same time.

Stages on several hosts have clocks that are milliseconds apart, and no collective in common. By
such clocks a receive may seem to end with another receive, and stages to compute at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from idlescope.analysis.ranks.clocks import ENOUGH, Clock
from idlescope.analysis.ranks.matching import (
    EQUAL_NS,
    TOGETHER_NS,
    KeyedCalls,
    MatchedCalls,
    answer_each_other,
    compute_by_turns,
)
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.trace.distinct import distinct
from idlescope.trace.table import Int64

SAMPLE = 512  # calls that are looked at
ANCHORS = 8  # calls of which one at least has its other side on the neighbour
MOST_APART = 64  # calls by which recordings of two stages may begin apart
NEARLY_AS_GOOD = 0.8  # of the calls that end together at best, and of the waiting explained
LEAST_PAIRS = 0.4  # of the calls: each but the first and the last stage receives and sends


def with_pairs(
    ranks: Sequence[RankTimeline],
    sent: KeyedCalls,
    matched: Sequence[MatchedCalls],
    clocks: Sequence[Clock],
) -> list[Clock] | None:
    """Return each rank's clock, by sends and receives where no collective tells.

    The times of `ranks` are by `clocks`, which are as collectives tell; ranks that have some in
    common move together. None where the clocks disagree and these may be no pipeline's.
    """
    found, times = list(clocks), list(ranks)
    stage = _stages(len(ranks), matched)
    settled = {stage[0], stage[sent.ranks[0]]}
    for rank, rows in sent.by_rank:
        if stage[rank] in settled:
            continue
        # Stages hand on to the next one: the nearest tells.
        of_settled = [
            (base, own) for base, own in reversed(sent.by_rank) if stage[base] in settled
        ]
        settled.add(stage[rank])
        fits = (_fit(times[base], own, times[rank], rows) for base, own in of_settled)
        fit = next((fit for fit in fits if fit is not None), None)
        if fit is None or (found[rank].known and not fit.ahead_ns):
            continue
        if not fit.is_of_pipeline:
            return None
        for member in np.flatnonzero(stage == stage[rank]).tolist():
            found[member] = replace(
                found[member],
                ahead_ns=found[member].ahead_ns + fit.ahead_ns,
                error_ns=found[member].error_ns + fit.error_ns,
                known=True,
            )
            times[member] = times[member].shifted(-fit.ahead_ns)
    return found


def _stages(ranks: int, matched: Sequence[MatchedCalls]) -> Int64:
    """Return for each rank the first of those that it is connected with by collectives."""
    stage = np.arange(ranks)
    for calls in matched:
        if calls.synchronises:
            members = np.isin(stage, stage[calls.ranks])
            stage[members] = stage[members].min()
    return stage


class _Fit(NamedTuple):
    """How well ends agree, if one clock is so far ahead of the other."""

    ahead_ns: int
    error_ns: int
    pairs: int  # calls that end together
    transfer_ns: float  # for which both sides of such a pair were there, in the mean
    waited_ns: int  # for which one side of them was there, in all
    is_of_pipeline: bool = True  # False: it may be of an all-to-all


def _fit(
    base: RankTimeline, base_rows: Int64, rank: RankTimeline, rows: Int64
) -> _Fit | None:
    """Return how far one clock is ahead of the other, as the ends of calls tell; None: they do not.

    The right distance has most calls end with another, both sides there for the transfer alone (of
    two receives both are there for as long as they wait), and explains most waiting (of two sends
    neither waits). Of those that are nearly as good, of which regular steps have many, it is none,
    else the best.
    """
    first = max(0, (base_rows.size - SAMPLE) // 2)
    some = base_rows[first : first + SAMPLE]
    ahead = _candidates(base.calls.end[some], rank.calls.end[rows])
    fits = [_if_ahead(base, some, rank, rows, ns) for ns in ahead.tolist()]
    most = max(fit.pairs for fit in fits)
    if most < max(ENOUGH, LEAST_PAIRS * min(some.size, rows.size)):
        return None
    fits = [fit for fit in fits if fit.pairs >= NEARLY_AS_GOOD * most]
    longest_ns = 2 * min(fit.transfer_ns for fit in fits) + EQUAL_NS
    fits = [fit for fit in fits if fit.transfer_ns <= longest_ns]
    waited_ns = NEARLY_AS_GOOD * max(fit.waited_ns for fit in fits)
    fits = [fit for fit in fits if fit.waited_ns >= waited_ns]
    best = min(
        fits,
        key=lambda fit: (fit.ahead_ns != 0, -fit.pairs, -fit.waited_ns, abs(fit.ahead_ns)),
    )
    as_many = base_rows.size == rows.size
    return best._replace(
        is_of_pipeline=not as_many
        or answer_each_other(base, base_rows, rank, rows)
        or compute_by_turns(base, rank.shifted(-best.ahead_ns))
    )


def _candidates(base_end: Int64, end: Int64) -> Int64:
    """Return by how much a clock may be ahead: 0, and what has a call end with one of some."""
    anchors = np.linspace(0, base_end.size - 1, ANCHORS).astype(np.int64)
    ahead = [np.zeros(1, np.int64)]
    for anchor in anchors.tolist():
        for middle in (
            anchor * end.size // base_end.size,
            int(np.searchsorted(end, base_end[anchor])),
        ):
            near = end[max(0, middle - MOST_APART) : middle + MOST_APART]
            ahead.append(near - base_end[anchor])
    return distinct(*ahead)


def _if_ahead(
    base: RankTimeline, base_rows: Int64, rank: RankTimeline, rows: Int64, ahead_ns: int
) -> _Fit:
    """Return how well ends agree, if one clock is so far ahead of the other."""
    end = rank.calls.end[rows] - ahead_ns
    base_end = base.calls.end[base_rows]
    after = np.clip(np.searchsorted(end, base_end), 1, end.size - 1)
    is_nearer = base_end - end[after - 1] < end[after] - base_end
    partner = after - is_nearer
    apart = end[partner] - base_end
    pairs = np.flatnonzero(np.abs(apart) <= TOGETHER_NS)
    if not pairs.size:
        return _Fit(ahead_ns, 0, 0, 0.0, 0)
    base_length = base.calls.length[base_rows[pairs]]
    length = rank.calls.length[rows[partner[pairs]]]
    off_ns = int(np.median(apart[pairs])) if ahead_ns else 0
    error_ns = float(np.quantile(np.abs(apart[pairs] - off_ns), 0.95))
    return _Fit(
        ahead_ns=ahead_ns + off_ns,
        error_ns=int(error_ns),
        pairs=pairs.size,
        transfer_ns=float(np.minimum(base_length, length).mean()),
        waited_ns=int(np.abs(base_length - length).sum()),
    )
