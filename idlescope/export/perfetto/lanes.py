"""Divide the slices of one track among lanes in which they nest.

A trace viewer loses slices that overlap without nesting.
"""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np

from idlescope.trace.table import Int64

OPEN = np.iinfo(np.int64).max  # a lane in which nothing is open takes a slice of any length


def assign(start: Int64, end: Int64) -> Int64:
    """Return the lane of each slice [start, end): the first in which it nests.

    Slices are laid by start, of those the longest first. One nests in a lane where it ends no
    later than the innermost slice that is open there; slices that only touch do not overlap.
    O(n log n).
    """
    lanes = np.zeros(start.size, np.int64)
    order = np.lexsort((-end, start))
    sorted_start, sorted_end = start[order], end[order]
    if nests(sorted_start, sorted_end):
        return lanes
    open_ends: list[list[int]] = [[]]  # of each lane, the ends of its open slices, innermost last
    innermost_ends = _FirstAtLeast()  # of each lane
    closing: list[tuple[int, int]] = []  # end and lane of every open slice, soonest first
    rows = zip(order.tolist(), sorted_start.tolist(), sorted_end.tolist(), strict=True)
    for row, slice_start, slice_end in rows:
        # close what has ended
        while closing and closing[0][0] <= slice_start:
            _, lane = heapq.heappop(closing)
            open_ends[lane].pop()
            innermost_ends.set(lane, open_ends[lane][-1] if open_ends[lane] else OPEN)
        # open the slice in the first lane in which it nests
        lane = innermost_ends.find(slice_end)
        if lane == len(open_ends):
            open_ends.append([])
        open_ends[lane].append(slice_end)
        innermost_ends.set(lane, slice_end)
        heapq.heappush(closing, (slice_end, lane))
        lanes[row] = lane
    return lanes


def nests(start: Int64, end: Int64) -> bool:
    """Return whether slices, sorted by start and longest first, all nest in one lane."""
    open_ends: list[int] = []
    for slice_start, slice_end in zip(start.tolist(), end.tolist(), strict=True):
        while open_ends and open_ends[-1] <= slice_start:
            open_ends.pop()
        if open_ends and slice_end > open_ends[-1]:
            return False
        open_ends.append(slice_end)
    return True


class _FirstAtLeast:
    """Endless array of values, all OPEN at first, that finds the first one not below a bound.

    A binary tree of maxima over a growing number of leaves; both operations take O(log n).
    """

    def __init__(self) -> None:
        self.leaves = 1
        self.tree = [OPEN, OPEN]  # tree[1] is the root, tree[leaves + i] the value i

    def set(self, index: int, value: int) -> None:
        while index >= self.leaves - 1:  # the last leaf stays OPEN, so that `find` always ends
            self._grow()
        node = self.leaves + index
        self.tree[node] = value
        while node > 1:
            node //= 2
            self.tree[node] = max(self.tree[2 * node], self.tree[2 * node + 1])

    def find(self, bound: int) -> int:
        node = 1
        while node < self.leaves:
            node = 2 * node if self.tree[2 * node] >= bound else 2 * node + 1
        return node - self.leaves

    def _grow(self) -> None:
        values = self.tree[self.leaves :] + [OPEN] * self.leaves
        self.leaves *= 2
        self.tree = [OPEN] * self.leaves + values
        for node in range(self.leaves - 1, 0, -1):
            self.tree[node] = max(self.tree[2 * node], self.tree[2 * node + 1])


def by_group(start: Int64, end: Int64, group: Int64) -> Int64:
    """Return the lane of each slice among those of its own group."""
    lanes = np.zeros(start.size, np.int64)
    order = np.argsort(group, kind="stable")
    edges = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    for first, last in pairwise(edges.tolist()):
        rows = order[first:last]
        lanes[rows] = assign(start[rows], end[rows])
    return lanes
