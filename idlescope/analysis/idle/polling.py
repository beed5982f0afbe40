"""A host that asks again and again whether the device is done waits for it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Calls, Trace
from idlescope.trace.names.calls import LAUNCH, matching
from idlescope.trace.table import Int64

QUERY = re.compile(r"^(cuda|hip|cu)(Event|Stream)Query")
FEWEST = 3  # queries in a row: allocators look at an event or two that they reuse
SHORTEST_NS = 50_000  # of all of them together
APART_NS = 1_000_000  # a thread that works for longer between two queries does not wait


class Polling(NamedTuple):
    """The calls of a trace, and which of them poll."""

    calls: Calls
    waits: Int64  # rows of `calls`: each stands for all queries of its poll


def with_polls(trace: Trace) -> Polling:
    """Return the calls with the first query of each poll lasting until its last one returned.

    Only threads that launch wait so: a watchdog, such as that of NCCL, asks all the time.
    """
    calls = trace.calls
    asks = matching(QUERY, trace.names)[calls.name] if len(calls) else np.empty(0, np.bool_)
    if np.count_nonzero(asks) >= FEWEST:
        launches = matching(LAUNCH, trace.names)[calls.name]
        asks = asks & np.isin(calls.thread, distinct(calls.thread[launches]))
    if np.count_nonzero(asks) < FEWEST:
        return Polling(calls, np.empty(0, np.int64))
    order = np.lexsort((calls.start, calls.thread))
    place = np.flatnonzero(asks[order])
    query = order[place]

    # A poll goes on where the same thread makes no other call before it asks again.
    follows = np.diff(place) == 1
    follows &= np.diff(calls.thread[query]) == 0
    follows &= calls.start[query[1:]] - calls.end[query[:-1]] <= APART_NS
    poll = np.append(0, np.cumsum(~follows))
    by_poll = Groups(poll, int(poll[-1]) + 1)
    begun, ended = by_poll.first(calls.start[query]), by_poll.last(calls.end[query])
    is_wait = (by_poll.sizes() >= FEWEST) & (ended - begun >= SHORTEST_NS)
    first_of_poll = np.append(True, ~follows)
    waits = query[first_of_poll][is_wait]
    end = calls.end.copy()
    end[waits] = ended[is_wait]
    return Polling(calls.replace(end=end), waits)
