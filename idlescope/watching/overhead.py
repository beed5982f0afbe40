"""What a watched range costs more than an unwatched one: found by trying, once in a process."""

from __future__ import annotations

import threading
from functools import cache
from time import perf_counter_ns

from idlescope.capture import ranges
from idlescope.watching.rows import Rows

RANGES = 100
TRIES = 5


@cache
def phase_cost_ns() -> float:
    """Return what taking a phase down costs; half a millisecond of trying, in this thread."""
    return max(0.0, _range_ns(Rows()) - _range_ns(None))


def _range_ns(rows: Rows | None) -> float:
    """Return what a range costs whose phases go to these rows; None: to nobody."""
    thread = threading.get_ident()
    before = ranges.LISTENERS.pop(thread, None)
    if rows is not None:
        ranges.LISTENERS[thread] = rows
    try:
        return min(_tried() for _ in range(TRIES)) / RANGES
    finally:
        ranges.LISTENERS.pop(thread, None)
        if before is not None:
            ranges.LISTENERS[thread] = before


def _tried() -> int:
    start = perf_counter_ns()
    for _ in range(RANGES):
        with ranges.Range("tried"):
            pass
    return perf_counter_ns() - start
