"""What is innermost around an instant of a thread: an operator, a range or a frame."""

from __future__ import annotations

import re

import numpy as np

from idlescope.analysis import intervals
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Calls, RangeKind, Trace
from idlescope.trace.table import Int64

_NUMBER = re.compile(r"(?<![A-Za-z_])\d+")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def names_around(trace: Trace, thread: int, times: Int64) -> list[str]:
    """Return the name of what is innermost at some times of a thread; "" for nothing.

    Names come without what differs from step to step, as `without_numbers` has it.
    """
    ranges = trace.ranges
    telling = (ranges.thread == thread) & (ranges.kind <= RangeKind.FRAME)
    candidates = np.flatnonzero(telling)
    starts, ends = ranges.start[candidates], ranges.end[candidates]
    innermost = intervals.innermost_at(starts, ends, times)
    named = {-1: ""}
    for row in distinct(innermost[innermost >= 0]).tolist():
        named[row] = without_numbers(trace.names[ranges.name[candidates[row]]])
    return [named[row] for row in innermost.tolist()]


def places_of(trace: Trace, calls: Calls) -> Int64:
    """Return for each of some calls of one thread the number of the place that makes it.

    Places differ by what is called, and by what is innermost around it.
    """
    if not len(calls):
        return np.empty(0, np.int64)
    around = names_around(trace, int(calls.thread[0]), calls.start)
    numbers: dict[tuple[int, str], int] = {}
    places = [
        numbers.setdefault(place, len(numbers))
        for place in zip(calls.name.tolist(), around, strict=True)
    ]
    return np.array(places, np.int64)


def without_numbers(name: str) -> str:
    """Return a name without what differs from step to step: sizes, counts, an object's address."""
    return _NUMBER.sub("N", _ADDRESS.sub("", name))
