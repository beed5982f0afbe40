"""Interval arithmetic on half-open [start, end) int64 nanosecond arrays: the only place that has any.

"Disjoint" means sorted by start and not overlapping, which is what `union` and `gaps` return.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from idlescope.trace.table import Int64

CHUNK = 1 << 16  # intervals whose arrays fit a core's cache
AFTER_EVERYTHING = int(np.iinfo(np.int64).max)  # when something starts that is not known to start
BEFORE_EVERYTHING = int(
    np.iinfo(np.int64).min
)  # when something ended that is not known to have run


class Intervals(NamedTuple):
    """Starts and ends of equal length, in nanoseconds."""

    start: Int64
    end: Int64

    @property
    def length(self) -> Int64:
        """Return the length of each interval in nanoseconds."""
        return self.end - self.start

    @property
    def measure(self) -> int:
        """Return the summed length in nanoseconds; for disjoint intervals, the time they cover."""
        return int((self.end - self.start).sum())


class Overlaps(NamedTuple):
    """Where interval `left` of one disjoint set and `right` of another are both open."""

    left: Int64
    right: Int64
    start: Int64
    end: Int64

    @property
    def intervals(self) -> Intervals:
        """Return the times that are shared, whoever shares them."""
        return Intervals(self.start, self.end)


def union(start: Int64, end: Int64) -> Intervals:
    """Return the disjoint, maximal intervals covered by any of the given ones; touching intervals are joined.

    A running maximum of ends makes nested and concurrent intervals safe. Empty intervals cover nothing.
    """
    keep = end > start
    start, end = start[keep], end[keep]
    if not start.size:
        return Intervals(start, end)
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.flatnonzero(np.concatenate(([True], start[1:] > reach[:-1])))
    return Intervals(start[first], reach[np.concatenate((first[1:] - 1, [start.size - 1]))])


def gaps(covered: Intervals, low: int, high: int) -> Intervals:
    """Return the maximal intervals of [low, high) that the disjoint ones, all within it, leave uncovered."""
    start, end = np.concatenate(([low], covered.end)), np.concatenate((covered.start, [high]))
    keep = end > start
    return Intervals(start[keep], end[keep])


def join(disjoint: Intervals, slack: int) -> Intervals:
    """Return the disjoint intervals with those joined that are less than `slack` apart."""
    if not disjoint.start.size:
        return disjoint
    apart = np.flatnonzero(disjoint.start[1:] - disjoint.end[:-1] >= slack)
    first, last = np.concatenate(([0], apart + 1)), np.concatenate((apart, [disjoint.end.size - 1]))
    return Intervals(disjoint.start[first], disjoint.end[last])


def clip(intervals: Intervals, low: int, high: int) -> Intervals:
    """Return the parts that lie within [low, high); what lies outside is dropped."""
    start, end = np.maximum(intervals.start, low), np.minimum(intervals.end, high)
    keep = end > start
    return Intervals(start[keep], end[keep])


def overlaps(left: Intervals, right: Intervals) -> Overlaps:
    """Return every pair of a left and a right interval that overlap; both sets must be disjoint."""
    first = np.searchsorted(right.end, left.start, "right")
    last = np.searchsorted(right.start, left.end, "left")
    i, j = spread(first, np.maximum(last - first, 0))
    start, end = np.maximum(left.start[i], right.start[j]), np.minimum(left.end[i], right.end[j])
    keep = end > start
    return Overlaps(i[keep], j[keep], start[keep], end[keep])


def spread(first: Int64, count: Int64) -> tuple[Int64, Int64]:
    """Return the pairs (i, j) of every i with the `count[i]` indices j from `first[i]` on."""
    i = np.repeat(np.arange(first.size), count)
    return i, np.arange(i.size) + np.repeat(first - (np.cumsum(count) - count), count)


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """Return the parts of the left intervals that no right one covers; both sets must be disjoint."""
    if not left.start.size or not right.start.size:
        return left
    points = _distinct(left.start, left.end, right.start, right.end)
    pieces = Intervals(points[:-1], points[1:])
    inside = covers(left, pieces.start) & ~covers(right, pieces.start)
    return union(pieces.start[inside], pieces.end[inside])


def covers(disjoint: Intervals, times: Int64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return whether each time lies within one of the disjoint intervals."""
    at = np.searchsorted(disjoint.start, times, "right") - 1
    if not disjoint.start.size:
        return np.zeros(times.size, np.bool_)
    return np.asarray((at >= 0) & (times < disjoint.end[at]), np.bool_)


def covered_before(disjoint: Intervals, times: Int64) -> Int64:
    """Return how much time before each of the given times the disjoint intervals cover, in nanoseconds."""
    whole = np.concatenate(([0], np.cumsum(disjoint.length)))
    at = np.searchsorted(disjoint.start, times, "right")
    # all that began before a time, less what of the last one lies beyond it
    last_end = np.concatenate(([np.iinfo(np.int64).min], disjoint.end))[at]
    return np.asarray(whole[at] - np.where(last_end > times, last_end - times, 0), np.int64)


def innermost(start: Int64, end: Int64) -> tuple[Intervals, Int64]:
    """Return who is innermost when: disjoint intervals, and for each the index of the given interval that owns it.

    Of the intervals open at an instant, the owner is the one that started last (of those, the one that ends first).
    For the nested ranges of one thread that is the deepest; overlapping ones that do not nest are resolved alike.
    """
    rows = _longest_first(start, end)
    starts, ends = start[rows], end[rows]
    if not rows.size:
        return Intervals(starts, ends), rows
    # around[i]: the nearest earlier interval that ends later than i does; chains of it lead outwards.
    around = np.arange(-1, rows.size - 1)
    short = np.flatnonzero(ends[around] <= ends)
    while (short := short[around[short] >= 0]).size:
        around[short] = around[around[short]]
        short = short[ends[around[short]] <= ends[short]]
    # crossed: an interval that started later is still open when this one ends; the nearest that ends later tells
    later = np.append(np.arange(1, rows.size), 0)
    short = np.flatnonzero(ends[later] <= ends)
    while (short := short[(later[short] > 0) & (starts[later[short]] < ends[short])]).size:
        later[short] = later[later[short]]
        short = short[ends[later[short]] <= ends[short]]
    crossed = (later > 0) & (starts[later] < ends) & (ends[later] > ends)
    # Each interval owns from its start on. When one ends that is not crossed, what is around it takes over. At one time
    # ends come first, and the last of several decides: of the starts the innermost, of the ends the last started.
    ending = np.flatnonzero(~crossed)
    times = np.concatenate((ends[ending], starts))
    owner = np.concatenate((around[ending], np.arange(rows.size)))
    order = np.argsort(times, kind="stable")
    times, owner = times[order], owner[order]
    last = np.flatnonzero(times[1:] > times[:-1])
    last = last[owner[last] >= 0]
    return Intervals(times[last], times[last + 1]), rows[owner[last]]


def _longest_first(start: Int64, end: Int64) -> Int64:
    """Return the rows of intervals that are not empty, by start, and of equal starts the longest first."""
    rows = np.flatnonzero(end > start)
    rows = rows[
        np.argsort(start[rows], kind="stable")
    ]  # quick where they are nearly in order, as in most traces
    starts = start[rows]
    tied = np.flatnonzero(starts[1:] == starts[:-1])
    if tied.size:
        tied = np.union1d(tied, tied + 1)
        some = rows[tied]
        rows[tied] = some[np.lexsort((-end[some], start[some]))]
    return rows


def innermost_in_turn(
    start: Int64, end: Int64, size: int = CHUNK
) -> Iterator[tuple[Intervals, Int64]]:
    """Yield what `innermost` returns, stretch of time by stretch, in order: millions of intervals in bounded memory."""
    rows = np.flatnonzero(end > start)
    rows = rows[np.argsort(start[rows], kind="stable")]
    still_open = rows[:0]
    low = np.iinfo(np.int64).min
    for first in range(0, rows.size, size):
        high = start[rows[first + size]] if first + size < rows.size else np.iinfo(np.int64).max
        here = np.concatenate((still_open, rows[first : first + size]))
        pieces, owner = innermost(start[here], end[here])
        inside = (pieces.start < high) & (pieces.end > low)
        clipped = Intervals(
            np.maximum(pieces.start[inside], low), np.minimum(pieces.end[inside], high)
        )
        yield clipped, here[owner[inside]]
        still_open = here[end[here] > high]
        low = high


def innermost_at(start: Int64, end: Int64, times: Int64) -> Int64:
    """Return for each time the index of the innermost interval open at it; -1 where none is."""
    owner = np.full(times.size, -1, np.int64)
    for pieces, row in innermost_in_turn(start, end):
        at = np.searchsorted(pieces.start, times, "right") - 1
        inside = at >= 0
        inside[inside] = times[inside] < pieces.end[at[inside]]
        owner[inside] = row[at[inside]]
    return owner


def _distinct(*times: Int64) -> Int64:
    """Return the distinct times in order. np.unique hashes first in newer numpy, several times slower here."""
    ordered = np.sort(np.concatenate(times))
    return ordered[
        np.concatenate((np.ones(min(ordered.size, 1), np.bool_), ordered[1:] != ordered[:-1]))
    ]


def percent(part: int, whole: int) -> float:
    """Return a part in per cent of the whole, 0 of nothing."""
    return 100.0 * part / whole if whole else 0.0
