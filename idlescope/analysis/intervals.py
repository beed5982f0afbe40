"""Interval arithmetic on half-open [start, end) int64 arrays of ns: the only place that has any.

"Disjoint" means sorted by start and not overlapping, which is what `union` and `gaps` return.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from idlescope.trace.distinct import distinct
from idlescope.trace.table import Bool, Int64

CHUNK = 1 << 15  # intervals whose arrays fit a core's cache
PAIRED_AT_ONCE = 1 << 17
AFTER_EVERYTHING = int(np.iinfo(np.int64).max)  # when something starts that never does
BEFORE_EVERYTHING = int(np.iinfo(np.int64).min)  # when something ended that never ran


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
    """Return the disjoint, maximal intervals covered by any of the given ones.

    Touching intervals are joined. A running maximum of ends makes nested and concurrent intervals
    safe. Empty intervals cover nothing.
    """
    keep = end > start
    start, end = start[keep], end[keep]
    if not start.size:
        return Intervals(start, end)
    by_start = np.argsort(start, kind="stable")
    start = start[by_start]
    reach = np.maximum.accumulate(end[by_start])
    # A piece begins where everything before has ended.
    apart = np.flatnonzero(start[1:] > reach[:-1])
    first = np.concatenate(([0], apart + 1))
    last = np.append(apart, start.size - 1)
    return Intervals(start[first], reach[last])


def gaps(covered: Intervals, low: int, high: int) -> Intervals:
    """Return the maximal intervals of [low, high) that the disjoint ones, all in it, leave open."""
    start = np.concatenate(([low], covered.end))
    end = np.append(covered.start, high)
    keep = end > start
    return Intervals(start[keep], end[keep])


def join(disjoint: Intervals, slack: int) -> Intervals:
    """Return the disjoint intervals with those joined that are less than `slack` ns apart."""
    start, end = disjoint
    if not start.size:
        return disjoint
    apart = np.flatnonzero(start[1:] - end[:-1] >= slack)
    first = np.concatenate(([0], apart + 1))
    last = np.append(apart, end.size - 1)
    return Intervals(start[first], end[last])


def clip(intervals: Intervals, low: int, high: int) -> Intervals:
    """Return the parts that lie within [low, high); what lies outside is dropped."""
    start = np.maximum(intervals.start, low)
    end = np.minimum(intervals.end, high)
    keep = end > start
    return Intervals(start[keep], end[keep])


def overlaps(left: Intervals, right: Intervals) -> Overlaps:
    """Return every pair of a left and a right interval that overlap; both sets must be disjoint.

    Of millions, some at a time: on the way there a pair takes several times its room.
    """
    if left.start.size <= PAIRED_AT_ONCE:
        return _pairs(left, right, 0)
    parts = []
    for first in range(0, left.start.size, PAIRED_AT_ONCE):
        some = slice(first, first + PAIRED_AT_ONCE)
        parts.append(_pairs(Intervals(left.start[some], left.end[some]), right, first))
    return Overlaps(*map(np.concatenate, zip(*parts, strict=True)))


def _pairs(left: Intervals, right: Intervals, first_row: int) -> Overlaps:
    """Return the pairs of some of the left intervals, which are the rows from `first_row` on."""
    first = np.searchsorted(right.end, left.start, "right")
    after_last = np.searchsorted(right.start, left.end, "left")
    left_row, right_row = spread(first, np.maximum(after_last - first, 0))
    start = np.maximum(left.start[left_row], right.start[right_row])
    end = np.minimum(left.end[left_row], right.end[right_row])
    keep = end > start
    return Overlaps(left_row[keep] + first_row, right_row[keep], start[keep], end[keep])


def spread(first: Int64, count: Int64) -> tuple[Int64, Int64]:
    """Return the pairs (i, j) of every row i with the `count[i]` indices j from `first[i]` on."""
    row = np.repeat(np.arange(first.size), count)
    pairs_before = np.cumsum(count) - count
    offset = np.repeat(first - pairs_before, count)
    return row, np.arange(row.size) + offset


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """Return the parts of the left intervals that no right one covers; both must be disjoint."""
    if not left.start.size or not right.start.size:
        return left
    points = distinct(left.start, left.end, right.start, right.end)
    start, end = points[:-1], points[1:]
    inside = covers(left, start) & ~covers(right, start)
    return union(start[inside], end[inside])


def covers(disjoint: Intervals, times: Int64) -> Bool:
    """Return whether each time lies within one of the disjoint intervals."""
    if not disjoint.start.size:
        return np.zeros(times.size, np.bool_)
    begun = np.searchsorted(disjoint.start, times, "right") - 1
    within_end = times < disjoint.end[begun]
    return np.asarray((begun >= 0) & within_end, np.bool_)


def meets(start: Int64, end: Int64, disjoint: Intervals) -> Bool:
    """Return which intervals, in any order, share time with one of the disjoint ones."""
    if not disjoint.start.size:
        return np.zeros(start.size, np.bool_)
    following = np.searchsorted(disjoint.end, start, "right")
    begins = np.append(disjoint.start, AFTER_EVERYTHING)[following]
    return np.asarray((begins < end) & (start < end), np.bool_)


def covered_before(disjoint: Intervals, times: Int64) -> Int64:
    """Return how much time before each of the given times the disjoint intervals cover, in ns."""
    total = np.concatenate(([0], np.cumsum(disjoint.length)))
    begun = np.searchsorted(disjoint.start, times, "right")
    # All that began before a time, less what of the last one lies beyond it.
    ends = np.concatenate(([BEFORE_EVERYTHING], disjoint.end))
    last_end = ends[begun]
    beyond = np.where(last_end > times, last_end - times, 0)
    return np.asarray(total[begun] - beyond, np.int64)


def covered_within(disjoint: Intervals, start: Int64, end: Int64) -> Int64:
    """Return how much of each time from a start to its end the disjoint intervals cover, in ns."""
    before = covered_before(disjoint, np.concatenate((start, end)))
    return before[start.size :] - before[: start.size]


def innermost(start: Int64, end: Int64) -> tuple[Intervals, Int64]:
    """Return who is innermost when: disjoint intervals, and the row of the interval that owns each.

    Of the intervals open at an instant, the owner is the one that started last (of those, the one
    that ends first). For the nested ranges of one thread that is the deepest; overlapping ones that
    do not nest are resolved alike.
    """
    rows = _longest_first(start, end)
    start, end = start[rows], end[rows]
    if not rows.size:
        return Intervals(start, end), rows
    around, crossed = _around(start, end)
    ending = np.flatnonzero(~crossed)

    # Each interval owns from its start on. When one ends that is not crossed, what is around it
    # takes over. At one time ends come first, and the last of several decides: of the starts the
    # innermost, of the ends the last started.
    times = np.concatenate((end[ending], start))
    owner = np.concatenate((around[ending], np.arange(rows.size)))
    in_time = np.argsort(times, kind="stable")
    times, owner = times[in_time], owner[in_time]
    last_of_time = np.flatnonzero(times[1:] > times[:-1])
    owned = last_of_time[owner[last_of_time] >= 0]
    return Intervals(times[owned], times[owned + 1]), rows[owner[owned]]


def _around(start: Int64, end: Int64) -> tuple[Int64, Bool]:
    """Return for each interval, by start, the nearest earlier one that ends later; -1: none.

    Also return which intervals are crossed: end while one that started later is still open.
    """
    around = np.arange(-1, end.size - 1)
    crossed = np.zeros(end.size, np.bool_)
    # Chains lead outwards: where the one before ends too early, look at what is around that. Of
    # those that are passed so, the ones that end within the interval are crossed by it.
    searching = np.flatnonzero(end[around] <= end)
    while (searching := searching[around[searching] >= 0]).size:
        passed = around[searching]
        open_still = (end[passed] > start[searching]) & (end[passed] < end[searching])
        crossed[passed[open_still]] = True
        around[searching] = around[passed]
        too_early = end[around[searching]] <= end[searching]
        searching = searching[too_early]
    if crossed.any():
        _cross_longer(end, crossed)
    return around, crossed


def _cross_longer(end: Int64, crossed: Bool) -> None:
    """Mark intervals, by start, that end with a later one that is crossed: chains pass by them."""
    rows = np.flatnonzero(crossed)
    by_end = rows[np.argsort(end[rows], kind="stable")]
    is_last = np.append(np.diff(end[by_end]) > 0, True)
    last_of_end = by_end[is_last]
    same_end = np.flatnonzero(np.isin(end, end[last_of_end]))
    last = last_of_end[np.searchsorted(end[last_of_end], end[same_end])]
    crossed[same_end[same_end < last]] = True


def order_by(first: Int64, then: Int64) -> Int64:
    """Return the rows by one column and, of equals, by another: `np.lexsort((then, first))`.

    Quick where the first is nearly in order, as starts are in most traces.
    """
    rows = np.argsort(first, kind="stable")
    ordered = first[rows]
    tied = np.flatnonzero(ordered[1:] == ordered[:-1])
    if tied.size:
        tied = distinct(tied, tied + 1)
        tied_rows = rows[tied]
        rows[tied] = tied_rows[np.lexsort((then[tied_rows], first[tied_rows]))]
    return rows


def outermost(start: Int64, end: Int64) -> Int64:
    """Return the rows of intervals that lie within no other, by start; of equals the first."""
    rows = order_by(start, -end)
    ends = end[rows]
    reach = np.maximum.accumulate(ends)
    is_outermost = np.ones(rows.size, np.bool_)
    is_outermost[1:] = ends[1:] > reach[:-1]
    return rows[is_outermost]


def _longest_first(start: Int64, end: Int64) -> Int64:
    """Return the rows of intervals that are not empty, by start, then the longest first."""
    rows = np.flatnonzero(end > start)
    return rows[order_by(start[rows], -end[rows])]


def innermost_in_turn(
    start: Int64, end: Int64, size: int = CHUNK
) -> Iterator[tuple[Intervals, Int64]]:
    """Yield what `innermost` returns, stretch of time by stretch, in order.

    Millions of intervals need no more memory than `size` and those that are open at once.
    """
    rows = np.flatnonzero(end > start)
    rows = rows[np.argsort(start[rows], kind="stable")]
    still_open = rows[:0]
    low = BEFORE_EVERYTHING
    for first in range(0, rows.size, size):
        after = first + size
        high = int(start[rows[after]]) if after < rows.size else AFTER_EVERYTHING
        here = np.concatenate((still_open, rows[first:after]))
        yield _innermost_within(start, end, here, low, high)
        still_open = here[end[here] > high]
        low = high


def _innermost_within(
    start: Int64, end: Int64, rows: Int64, low: int, high: int
) -> tuple[Intervals, Int64]:
    """Return what `innermost` returns of some rows, within [low, high)."""
    pieces, owner = innermost(start[rows], end[rows])
    inside = (pieces.start < high) & (pieces.end > low)
    piece_start = np.maximum(pieces.start[inside], low)
    piece_end = np.minimum(pieces.end[inside], high)
    return Intervals(piece_start, piece_end), rows[owner[inside]]


def innermost_at(start: Int64, end: Int64, times: Int64) -> Int64:
    """Return for each time the row of the innermost interval open at it; -1 where none is."""
    owner = np.full(times.size, -1, np.int64)
    # Only the few intervals that are open at one of the times can own it.
    instants = distinct(times)
    open_rows = np.flatnonzero(meets(start, end, Intervals(instants, instants + 1)))
    for pieces, rows in innermost_in_turn(start[open_rows], end[open_rows]):
        piece = np.searchsorted(pieces.start, times, "right") - 1
        inside = piece >= 0
        inside[inside] = times[inside] < pieces.end[piece[inside]]
        owner[inside] = open_rows[rows[piece[inside]]]
    return owner


def percent(part: int, whole: int) -> float:
    """Return a part in per cent of the whole, 0 of nothing."""
    return 100.0 * part / whole if whole else 0.0
