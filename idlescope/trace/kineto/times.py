"""Decimal microseconds become integer nanoseconds, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from idlescope.trace.kineto.records import Event
from idlescope.trace.table import Bool, Float64, Int64

# A float64 holds microseconds to within half a nanosecond below this value: 2**43 us is 101 days.
EXACT_BELOW_US = float(2**43)
INT64_US = 2**63 / 1000  # microseconds beyond which nanoseconds leave int64
LONGEST_US = 10**16  # more than int64 has, as nanoseconds
_INT64 = range(-(2**63), 2**63)


def exact_ns(times: Sequence[Any], raw: Callable[[], Sequence[str]]) -> tuple[Int64, Bool]:
    """Return microseconds as int64 nanoseconds, exactly, and which of them are numbers at all.

    Those that are not become 0. `times` holds ints, floats, text or None. Where a float is too
    large to be exact, `raw()` gives the text of every value.
    """
    microseconds = _as_floats(times)
    magnitude = np.abs(microseconds)
    all_readable = np.ones(len(times), np.bool_)
    # comparisons are false for NaN, so that none is among the times of these two cases
    if (magnitude < EXACT_BELOW_US).all():
        return _ns_of_floats(microseconds), all_readable
    all_integers = all(type(time_value) is int for time_value in times)
    if all_integers and (magnitude < INT64_US).all():
        return np.array(times, np.int64) * 1000, all_readable

    nanoseconds = [_ns_of_text(text) for text in raw()]
    readable = [time_value is not None for time_value in nanoseconds]
    return (
        np.array([time_value or 0 for time_value in nanoseconds], np.int64),
        np.array(readable, np.bool_),
    )


def _as_floats(times: Sequence[Any]) -> Float64:
    """Return times as floats; all NaN where one of them is no number."""
    try:
        return np.fromiter(times, np.float64, len(times))
    except (ValueError, TypeError, OverflowError):
        return np.full(len(times), np.nan)


def _ns_of_floats(microseconds: Float64) -> Int64:
    """Return the nearest nanoseconds; whole and decimals apart, as 1000 times a time is inexact."""
    whole = np.floor(microseconds)
    whole_ns = (whole * 1000).astype(np.int64)
    decimals_ns = np.rint((microseconds - whole) * 1000).astype(np.int64)
    return whole_ns + decimals_ns


def _ns_of_text(text: str) -> int | None:
    """Return what a text of microseconds is in nanoseconds; None of what is no time."""
    try:
        microseconds = Decimal(text.strip('" '))
        # "1e999990" is one, whose million digits take half a minute to write as an integer
        is_time = abs(microseconds) < LONGEST_US
    except (InvalidOperation, ValueError):
        return None
    if not is_time:
        return None
    ns = int((microseconds * 1000).to_integral_value())
    return ns if ns in _INT64 else None


def typical_ns(events: Sequence[Event], otherwise: int) -> int:
    """Return the time about which most events of a batch lie; `otherwise` if none has one."""
    times = [
        event.ts
        for event in events
        if event.ph == "X"
        and isinstance(event.ts, (int, float))
        and abs(event.ts) < INT64_US
    ]
    # of the two in the middle the later: `np.median` of decimals imports numpy.ma, 10 ms
    return round(sorted(times)[len(times) // 2] * 1000) if times else otherwise
