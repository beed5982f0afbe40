"""First, last, total, count and covered time by group: the only place that scatters into arrays.

Values that belong together, such as the operations of a step, need not be neighbours. `Groups` says
to which group each value belongs and reduces columns of values to one row per group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from idlescope.analysis.intervals import AFTER_EVERYTHING, BEFORE_EVERYTHING
from idlescope.trace.table import Bool, Float64, Int64

EXACT_FLOATS = 2**52  # integers up to it are float64s, and so are their sums


class Groups(Struct, frozen=True):
    """The group of each of some values: `row[i]`, from 0 to `count` - 1, is that of value `i`.

    Every method takes columns that are as long as `row` and returns one entry per group.
    """

    row: NDArray[np.integer[Any]]
    count: int

    def only(self, chosen: Bool) -> Groups:
        """Return the groups of the chosen values; there are as many groups as before."""
        return Groups(self.row[chosen], self.count)

    def sizes(self) -> Int64:
        """Return how many values each group has."""
        return np.bincount(self.row, minlength=self.count).astype(np.int64)

    def occupied(self) -> Bool:
        """Return which groups have any value."""
        occupied = np.zeros(self.count, np.bool_)
        occupied[self.row] = True
        return occupied

    def total(self, values: NDArray[np.integer[Any]]) -> Int64:
        """Return the exact sum of the integers of each group; 0 for an empty group."""
        if np.abs(values, dtype=np.float64).sum() < EXACT_FLOATS:
            # Sums of such integers are exact as floats, too, and take a fifth of the time.
            return np.bincount(self.row, values, self.count).astype(np.int64)
        total = np.zeros(self.count, np.int64)
        self.add_to(total, values)
        return total

    def add_to(self, total: Int64, values: NDArray[np.integer[Any]]) -> None:
        """Add the exact sum of the integers of each group to an entry per group, in place."""
        np.add.at(total, self.row, values)

    def total_of_floats(self, values: Float64) -> Float64:
        """Return the sum of each group's values; 0 for a group without any."""
        return np.asarray(np.bincount(self.row, values, self.count), np.float64)

    def first(self, times: Int64, none: int = AFTER_EVERYTHING) -> Int64:
        """Return the earliest time of each group; `none` for a group without any."""
        earliest = np.full(self.count, none, np.int64)
        np.minimum.at(earliest, self.row, times)
        return earliest

    def last(self, times: Int64, none: int = BEFORE_EVERYTHING) -> Int64:
        """Return the latest time of each group; `none` for a group without any."""
        latest = np.full(self.count, none, np.int64)
        np.maximum.at(latest, self.row, times)
        return latest

    def covered(self, start: Int64, end: Int64) -> Int64:
        """Return the nanoseconds that the union of each group's intervals covers."""
        by_start = np.argsort(start, kind="stable")
        in_groups = by_start[np.argsort(self.row[by_start], kind="stable")]
        start, end, row = start[in_groups], end[in_groups], self.row[in_groups]

        reached_before = np.append(start[:1], _reached(row, end)[:-1])
        follows = np.append(False, row[1:] == row[:-1])[: end.size]
        begins = np.where(follows, np.maximum(start, reached_before), start)
        return Groups(row, self.count).total(np.maximum(end - begins, 0))


def _reached(row: NDArray[np.integer[Any]], end: Int64) -> Int64:
    """Return up to each place the latest end of its group; groups lie one behind the other.

    One running maximum serves all groups, in which each begins anew since its ends stand above all
    before. Their ranks do: times themselves, which may be damaged, could leave int64.
    """
    by_end = np.argsort(end, kind="stable")
    rank = np.empty(end.size, np.int64)
    rank[by_end] = np.arange(end.size)
    base = row.astype(np.int64) * end.size
    highest_rank = np.maximum.accumulate(base + rank) - base
    return end[by_end[highest_rank]]


def by_value(values: NDArray[np.integer[Any]]) -> tuple[Int64, Groups]:
    """Return the distinct values in order, and the groups of equal ones."""
    distinct, row = np.unique(values, return_inverse=True)
    return distinct.astype(np.int64), Groups(row, distinct.size)


def by_key(keys: Int64, values: NDArray[np.integer[Any]]) -> tuple[Groups, Bool]:
    """Return the groups of the values that are among some keys, and which values those are.

    `keys` are distinct and ascending; the group of a value is the row of its key.
    """
    if not keys.size:
        return Groups(np.empty(0, np.int64), 0), np.zeros(values.size, np.bool_)
    row = np.minimum(np.searchsorted(keys, values), keys.size - 1)
    known = np.asarray(keys[row] == values, np.bool_)
    return Groups(row[known], keys.size), known
