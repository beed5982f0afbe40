"""How batches form anew in a deeper pipeline.

A row of the batch is given to the next request only once its last token is known. With `depth`
steps in flight that is `depth` steps after the last step of the request before, instead of one.
The other requests go on meanwhile; where none is left to go on, the pipeline drains. That a
request ends at its limit is known beforehand, so that no further step is spent on it; that it
stops by itself is not. How many steps a request takes does not change.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.lib.stride_tricks import sliding_window_view

from idlescope.analysis.prediction.requests import Requests
from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.trace.table import Bool, Float64, Int64

NEIGHBOURS = 9  # steps whose median says what a step without a prompt would have cost


class Order(NamedTuple):
    """Steps as they are formed anew."""

    starts: Int64  # first step of each request
    steps: int
    needs: (
        Int64  # for each step: the one whose tokens must be there first (a drain); -1: none
    )


class Rebatched(NamedTuple):
    """The costs of steps that are formed anew."""

    costs: StepCosts
    needs: Int64  # as in `Order`
    prompts: Bool  # which steps work on prompts


def order(requests: Requests, depth: int) -> Order:
    """Return when each request starts in a pipeline of `depth` steps in flight.

    A request that had a row as soon as one was free gets one as soon as one is. Another, held back
    by the size of a step or by memory, comes as long after the request before it as it did.
    """
    # The last step of each row's request, as recorded and anew: the row free first is on top.
    recorded_rows = [-1] * requests.rows
    new_rows = [-1] * requests.rows
    starts: list[int] = []
    needs: dict[int, int] = {}
    previous = start = known = final = -1
    recorded = zip(
        requests.admitted.tolist(),
        requests.last_token.tolist(),
        requests.stopped.tolist(),
        strict=True,
    )
    for admitted, last_token, stopped in recorded:
        recorded_free = heappop(recorded_rows)
        new_free = heappop(new_rows)
        held_back = admitted > recorded_free + 1
        if held_back and starts:
            start += admitted - previous
        start = max(start, 0)
        # The row's last token is not known yet: it comes `depth` steps after its step.
        if new_free > max(known, start - depth):
            start = max(start, new_free + depth)
        # Nothing runs until then, so the pipeline drains and the row is free at once.
        if start > final + 1:
            start = final + 1
            if new_free > max(known, start - depth):
                needs[start] = known = new_free
        starts.append(start)
        previous = admitted
        new_last = start + last_token - admitted
        heappush(recorded_rows, last_token)
        heappush(new_rows, new_last)
        surplus = depth - 1 if stopped else 0  # steps begun before the stop was seen
        final = max(final, new_last + surplus)
    needed = np.full(final + 1, -1)
    needed[list(needs)] = list(needs.values())
    return Order(np.array(starts, np.int64), final + 1, needed)


def rebatch(costs: StepCosts, requests: Requests, depth: int) -> Rebatched:
    """Return the steps as they form anew in a pipeline of `depth` steps in flight.

    What a prompt adds to the steps that work on it goes where the request goes. The rest of a step
    is that of the recorded step in which its requests were as far, on average.
    """
    new_order = order(requests, depth)
    starts, steps, needs = new_order
    delay = starts - requests.admitted
    new_first_token = requests.first_token + delay
    once = np.ones_like(delay)
    prompts = _running_sum(starts, new_first_token, once, steps) > 0
    if steps == len(costs) and not delay.any():
        return Rebatched(costs, needs, prompts)
    source = _source_steps(requests, new_order, depth, len(costs))
    work = _prompt_work(requests, delay, len(costs))
    columns = {}
    for name in StepCosts.__struct_fields__:
        values = getattr(costs, name)
        plain_values = work.without_prompts(values)
        prompt_values = work.moved_prompts(values - plain_values, steps)
        added = np.rint(prompt_values).astype(np.int64)
        columns[name] = plain_values[source] + added
    return Rebatched(StepCosts(**columns), needs, prompts)


def _source_steps(
    requests: Requests, new_order: Order, depth: int, recorded_steps: int
) -> Int64:
    """Return for each new step the recorded one whose requests were as far, on average."""
    delay = new_order.starts - requests.admitted
    surplus = np.where(requests.stopped, depth - 1, 0)
    new_last = requests.last_token + delay + surplus
    active = _running_sum(new_order.starts, new_last, np.ones_like(delay), new_order.steps)
    summed_delay = _running_sum(new_order.starts, new_last, delay, new_order.steps)
    mean_delay = np.rint(summed_delay / np.maximum(active, 1)).astype(np.int64)
    return np.clip(np.arange(new_order.steps) - mean_delay, 0, recorded_steps - 1)


class _PromptWork(Struct, frozen=True):
    """Which steps work on prompts, and where that work goes: one row per prompt and step."""

    prompts: Int64  # for each recorded step: how many prompts it works on
    recorded_step: Int64
    new_step: Int64

    def without_prompts(self, values: Int64) -> Int64:
        """Return a column with what steps with prompts would have had without them."""
        plain = np.flatnonzero(self.prompts == 0)
        if not plain.size:
            return values
        prompted = np.flatnonzero(self.prompts)
        result = values.copy()
        result[prompted] = np.interp(prompted, plain, _smooth(values[plain]))
        return result

    def moved_prompts(self, added: Int64, new_steps: int) -> Float64:
        """Return what prompts add to each new step, of what they added to each recorded one."""
        per_prompt = added / np.maximum(self.prompts, 1)
        added_to_step = per_prompt[self.recorded_step]
        moved = np.bincount(self.new_step, added_to_step, minlength=new_steps)
        return np.asarray(moved, np.float64)


def _prompt_work(requests: Requests, delay: Int64, recorded_steps: int) -> _PromptWork:
    """Return which recorded steps work on which prompts, delayed by so many steps each."""
    once = np.ones_like(delay)
    # Spell out each request's steps from its admission to its first token.
    request = np.repeat(np.arange(delay.size), requests.first_token - requests.admitted + 1)
    place = np.arange(request.size) - np.searchsorted(request, request)
    recorded_step = requests.admitted[request] + place
    return _PromptWork(
        prompts=_running_sum(requests.admitted, requests.first_token, once, recorded_steps),
        recorded_step=recorded_step,
        new_step=recorded_step + delay[request],
    )


def _running_sum(first: Int64, last: Int64, weight: Int64, size: int) -> Int64:
    """Return for each step the sum of the weights that last from `first` to `last`, inclusive."""
    begun = np.bincount(first, weight, size + 1)[: size + 1]
    ended = np.bincount(last + 1, weight, size + 1)[: size + 1]
    return np.asarray(np.rint(np.cumsum(begun - ended))[:size], np.int64)


def _smooth(values: Int64) -> Int64:
    """Return the median of each value and its neighbours."""
    half = NEIGHBOURS // 2
    padded = np.pad(values, half, mode="reflect" if values.size > half else "edge")
    return np.asarray(np.median(sliding_window_view(padded, NEIGHBOURS), axis=1), np.int64)
