"""Divide the slices of one track among lanes in which they nest: a trace viewer loses slices that overlap otherwise."""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np

from idlescope.trace.table import Int64

OPEN = np.iinfo(np.int64).max  # a lane in which nothing is open takes a slice of any length


def assign(start: Int64, end: Int64) -> Int64:
    """Return the lane of each slice [start, end): 0 where everything nests, else the first lane in which it nests.

    Slices are laid by start, of those the longest first. One nests in a lane where it ends no later than the innermost
    slice that is open there; slices that only touch do not overlap. O(n log n).
    """
    lanes = np.zeros(start.size, np.int64)
    order = np.lexsort((-end, start))
    if nests(start[order], end[order]):
        return lanes
    stacks: list[list[int]] = [[]]
    ends = _FirstAtLeast()
    closing: list[tuple[int, int]] = []  # (end, lane) of every open slice
    for row, begins, stops in zip(
        order.tolist(), start[order].tolist(), end[order].tolist(), strict=True
    ):
        while closing and closing[0][0] <= begins:
            lane = heapq.heappop(closing)[1]
            stacks[lane].pop()
            ends.set(lane, stacks[lane][-1] if stacks[lane] else OPEN)
        lane = ends.find(stops)
        if lane == len(stacks):
            stacks.append([])
        stacks[lane].append(stops)
        ends.set(lane, stops)
        heapq.heappush(closing, (stops, lane))
        lanes[row] = lane
    return lanes


def nests(start: Int64, end: Int64) -> bool:
    """Return whether slices, sorted by start and longest first, all nest in one lane."""
    open_ends: list[int] = []
    for begins, stops in zip(start.tolist(), end.tolist(), strict=True):
        while open_ends and open_ends[-1] <= begins:
            open_ends.pop()
        if open_ends and stops > open_ends[-1]:
            return False
        open_ends.append(stops)
    return True


class _FirstAtLeast:
    """Endless array of values, all OPEN at first, that finds the first one at least as large as a bound.

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
