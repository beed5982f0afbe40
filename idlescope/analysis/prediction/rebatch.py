"""How batches form anew in a deeper pipeline: a row is given to the next request only once its last token is known.

With `depth` steps in flight that is `depth` steps after the last one of the request before, instead of one. The others
go on meanwhile; where none is left to go on, the pipeline drains. That a request ends at its limit is known beforehand,
so that no further step is spent on it; that it stops by itself is not. How many steps a request takes does not change.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.trace.model import Trace
from idlescope.trace.names.own_engine import AT_LIMIT, BY_STOP, FIRST_TOKEN, RUNNING, WAITING
from idlescope.trace.table import Bool, Int64

NEIGHBOURS = 9  # steps whose median says what a step without a prompt would have cost


@dataclass(frozen=True)
class Requests:
    """One row a request, in order of admission; steps are rows of the costs of the recorded steps."""

    admitted: Int64  # first step
    first: Int64  # the step of its first token: up to there its prompt is worked on
    last: Int64  # the step of its last token
    stopped: Bool  # ended before its limit
    rows: int  # requests that can run at once


class Order(NamedTuple):
    """Steps as they are formed anew."""

    requests: Int64  # first step of each request
    steps: int
    needs: Int64  # the step whose tokens must be there before the step is formed, where that drains the pipeline; or -1


def _samples(trace: Trace, name: str) -> tuple[Int64, Int64]:
    """Return the times and values of the samples of a name."""
    rows = np.flatnonzero(trace.samples.name == trace.name_index(name))
    return trace.samples.time[rows], trace.samples.value[rows].astype(np.int64)


def arriving(trace: Trace) -> bool:
    """Return whether a recording shows that requests arrived during the run, not all at its start."""
    (at, running), (_, waiting) = _samples(trace, RUNNING), _samples(trace, WAITING)
    if waiting.size != running.size:
        return False
    ended = np.sort(np.concatenate((_samples(trace, AT_LIMIT)[0], _samples(trace, BY_STOP)[0])))
    known = running + waiting + np.searchsorted(ended, at, "right")
    return bool((np.diff(known) > 0).any())


def requests(trace: Trace, end: Int64) -> Requests | None:
    """Return the requests of a synchronous recording; None where it does not say, or requests were preempted.

    `end` is when the host's work on each step ended.
    """
    _, running = _samples(trace, RUNNING)
    first_at, first_id = _samples(trace, FIRST_TOKEN)
    (limit_at, limit_id), (stop_at, stop_id) = _samples(trace, AT_LIMIT), _samples(trace, BY_STOP)
    ended_at, ended_id = np.concatenate((limit_at, stop_at)), np.concatenate((limit_id, stop_id))
    if (
        running.size != end.size
        or not ended_id.size
        or not np.array_equal(np.sort(first_id), np.sort(ended_id))
    ):
        return None
    by_first, by_end = np.lexsort((first_id, first_at)), np.argsort(ended_id)
    by_end = by_end[np.searchsorted(ended_id[by_end], first_id[by_first])]
    first, last = np.searchsorted(end, first_at[by_first]), np.searchsorted(end, ended_at[by_end])
    entered = np.diff(running, prepend=0) + np.bincount(last, minlength=end.size)[: end.size]
    if (entered < 0).any() or entered.sum() != first.size:
        return None  # some entered twice, or are still running
    admitted = np.repeat(np.arange(end.size), entered)
    if (admitted > first).any() or (first > last).any() or last.max() >= end.size:
        return None
    together = int(
        np.cumsum(entered - np.bincount(last + 1, minlength=end.size + 1)[: end.size]).max()
    )
    return Requests(
        admitted,
        first,
        last,
        by_end >= limit_at.size,
        max(together, int(trace.meta.get("rows", 0))),
    )


def order(of: Requests, depth: int) -> Order:
    """Return when each request starts in a pipeline of that depth.

    A request that had a row as soon as one was free gets one as soon as one is; another, held back by the size of a
    step or by memory, comes as long after the one before it as it did.
    """
    was, now = [-1] * of.rows, [-1] * of.rows  # last step of each row, as recorded and anew
    starts: list[int] = []
    needs: dict[int, int] = {}
    previous = at = known = final = -1
    for admitted, last, stopped in zip(
        of.admitted.tolist(), of.last.tolist(), of.stopped.tolist(), strict=True
    ):
        free_was, free = heappop(was), heappop(now)
        if admitted > free_was + 1 and starts:  # held back by something else than a row
            at += admitted - previous
        at = max(at, 0)
        if free > max(known, at - depth):
            at = max(at, free + depth)
        if at > final + 1:  # nothing runs until then
            at = final + 1
            if free > max(known, at - depth):
                needs[at] = known = free
        previous = admitted
        starts.append(at)
        end = at + last - admitted
        heappush(was, last)
        heappush(now, end)
        final = max(final, end + (depth - 1 if stopped else 0))
    need = np.full(final + 1, -1)
    need[list(needs)] = list(needs.values())
    return Order(np.array(starts, np.int64), final + 1, need)


class Rebatched(NamedTuple):
    """The steps that are formed anew."""

    costs: StepCosts
    needs: Int64  # as of `Order`
    prompts: Bool  # which of them work on prompts


def rebatch(costs: StepCosts, of: Requests, depth: int) -> Rebatched:
    """Return the steps as they form anew.

    What a prompt adds to the steps that work on it goes where the request goes; the rest of a step is that of the one
    in which its requests were as far, on average.
    """
    anew = order(of, depth)
    n, later, each = len(costs), anew.requests - of.admitted, np.ones_like(of.admitted)
    prompts = _running_sum(anew.requests, of.first + later, each, anew.steps) > 0
    if anew.steps == n and not later.any():
        return Rebatched(costs, anew.needs, prompts)
    end = of.last + later + np.where(of.stopped, depth - 1, 0)
    active, delay = (_running_sum(anew.requests, end, by, anew.steps) for by in (each, later))
    source = np.clip(
        np.arange(anew.steps) - np.rint(delay / np.maximum(active, 1)).astype(np.int64), 0, n - 1
    )
    working = _running_sum(of.admitted, of.first, each, n)  # requests whose prompt is worked on
    plain = np.flatnonzero(working == 0)
    which = np.repeat(np.arange(later.size), of.first - of.admitted + 1)
    step = of.admitted[which] + np.arange(which.size) - np.searchsorted(which, which)
    columns = {}
    for field in fields(StepCosts):
        base = values = getattr(costs, field.name)
        if plain.size:
            base = values.copy()
            base[working > 0] = np.interp(
                np.flatnonzero(working > 0), plain, _smooth(values[plain])
            )
        prompt = (values - base) / np.maximum(working, 1)
        added = np.bincount(step + later[which], prompt[step], minlength=anew.steps)
        columns[field.name] = base[source] + np.rint(added).astype(np.int64)
    return Rebatched(StepCosts(**columns), anew.needs, prompts)


def _running_sum(first: Int64, last: Int64, by: Int64, size: int) -> Int64:
    """Return for each step the sum over those that last from `first` to `last`, both included."""
    change = (
        np.bincount(first, by, size + 1)[: size + 1]
        - np.bincount(last + 1, by, size + 1)[: size + 1]
    )
    return np.asarray(np.rint(np.cumsum(change))[:size], np.int64)


def _smooth(values: Int64) -> Int64:
    """Return the median of each value and its neighbours."""
    half = NEIGHBOURS // 2
    padded = np.pad(values, half, mode="reflect" if values.size > half else "edge")
    return np.asarray(np.median(sliding_window_view(padded, NEIGHBOURS), axis=1), np.int64)
