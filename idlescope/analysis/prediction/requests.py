"""The requests of a run of our own engine, as its recording's counters tell them."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from idlescope.trace.model import Trace
from idlescope.trace.names.own_engine import (
    AT_LIMIT,
    BY_STOP,
    FIRST_TOKEN,
    RUNNING,
    WAITING,
)
from idlescope.trace.table import Bool, Int64


class Requests(Struct, frozen=True):
    """One row per request, in order of admission. Steps are row numbers of the recorded steps."""

    admitted: Int64  # the request's first step
    first_token: Int64  # step of its first token: up to there its prompt is worked on
    last_token: Int64  # step of its last token
    stopped: Bool  # it ended by itself, before its limit
    rows: int  # rows of the batch: how many requests can run at once

    def __len__(self) -> int:
        return len(self.admitted)


class _Events(Struct, frozen=True):
    """When something happened to requests, and to which of them."""

    time: Int64  # ns
    request: Int64

    def __len__(self) -> int:
        return len(self.time)


def arriving(trace: Trace) -> bool:
    """Return whether a recording shows that requests arrived during the run, not all at its start.

    Requests known to the engine are those running, those waiting and those that have ended. Where
    their number grows, some have arrived.
    """
    times, running = _counter(trace, RUNNING)
    _, waiting = _counter(trace, WAITING)
    if waiting.size != running.size:
        return False
    ended = np.sort(
        np.concatenate((_counter(trace, AT_LIMIT)[0], _counter(trace, BY_STOP)[0]))
    )
    known = running + waiting + np.searchsorted(ended, times, "right")
    return bool((np.diff(known) > 0).any())


def recorded_requests(trace: Trace, step_end: Int64) -> Requests | None:
    """Return the requests of a synchronous recording.

    `step_end` is when the host's work on each step ended, in ns. Returns None where the recording
    does not tell the requests, or where some were preempted.
    """
    _, running = _counter(trace, RUNNING)
    first_tokens = _Events(*_counter(trace, FIRST_TOKEN))
    at_limit = _Events(*_counter(trace, AT_LIMIT))
    by_stop = _Events(*_counter(trace, BY_STOP))
    endings = _Events(
        np.concatenate((at_limit.time, by_stop.time)),
        np.concatenate((at_limit.request, by_stop.request)),
    )
    steps = step_end.size
    complete = np.array_equal(np.sort(first_tokens.request), np.sort(endings.request))
    if running.size != steps or not len(endings) or not complete:
        return None

    # Requests in order of their first token, and the row of `endings` of each.
    by_first_token = np.lexsort((first_tokens.request, first_tokens.time))
    request = first_tokens.request[by_first_token]
    by_request = np.argsort(endings.request)
    place = np.searchsorted(endings.request[by_request], request)
    ending = by_request[place]
    first_token_time = first_tokens.time[by_first_token]
    first_token = np.searchsorted(step_end, first_token_time)
    last_token = np.searchsorted(step_end, endings.time[ending])

    # As many requests entered a step as run in it beyond those that ran before and did not end.
    ended = np.bincount(last_token, minlength=steps)[:steps]
    entered = np.diff(running, prepend=0) + ended
    if (entered < 0).any() or entered.sum() != first_token.size:
        return None  # some entered twice (preempted), or are still running
    admitted = np.repeat(np.arange(steps), entered)
    early_token = admitted > first_token
    early_end = first_token > last_token
    if early_token.any() or early_end.any() or last_token.max() >= steps:
        return None

    left = np.bincount(last_token + 1, minlength=steps + 1)[:steps]
    together = np.cumsum(entered - left)
    rows = trace.meta.rows
    return Requests(
        admitted=admitted,
        first_token=first_token,
        last_token=last_token,
        stopped=ending >= len(at_limit),
        rows=max(rows, int(together.max())),
    )


def _counter(trace: Trace, name: str) -> tuple[Int64, Int64]:
    """Return the times (ns) and values of one counter of our own engine."""
    rows = np.flatnonzero(trace.counters.name == trace.name_index(name))
    return trace.counters.time[rows], trace.counters.value[rows].astype(np.int64)
