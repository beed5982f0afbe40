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
    lane_of_slice = np.zeros(start.size, np.int64)
    start_order = np.lexsort((-end, start))
    sorted_start, sorted_end = start[start_order], end[start_order]
    if nests(sorted_start, sorted_end):
        return lane_of_slice
    open_ends: list[list[int]] = [
        []
    ]  # of each lane, the ends of its open slices, innermost last
    innermost_ends = _FirstAtLeast()  # of each lane
    closing: list[tuple[int, int]] = []  # end and lane of every open slice, soonest first
    sorted_slices = zip(
        start_order.tolist(), sorted_start.tolist(), sorted_end.tolist(), strict=True
    )
    for slice_row, slice_start, slice_end in sorted_slices:
        # close what has ended
        while closing and closing[0][0] <= slice_start:
            _, lane_index = heapq.heappop(closing)
            open_ends[lane_index].pop()
            innermost_ends.set(
                lane_index, open_ends[lane_index][-1] if open_ends[lane_index] else OPEN
            )
        # open the slice in the first lane in which it nests
        lane_index = innermost_ends.find(slice_end)
        if lane_index == len(open_ends):
            open_ends.append([])
        open_ends[lane_index].append(slice_end)
        innermost_ends.set(lane_index, slice_end)
        heapq.heappush(closing, (slice_end, lane_index))
        lane_of_slice[slice_row] = lane_index
    return lane_of_slice


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
        while (
            index >= self.leaves - 1
        ):  # the last leaf stays OPEN, so that `find` always ends
            self._grow()
        tree_node = self.leaves + index
        self.tree[tree_node] = value
        while tree_node > 1:
            tree_node //= 2
            self.tree[tree_node] = max(
                self.tree[2 * tree_node], self.tree[2 * tree_node + 1]
            )

    def find(self, bound: int) -> int:
        tree_node = 1
        while tree_node < self.leaves:
            tree_node = (
                2 * tree_node if self.tree[2 * tree_node] >= bound else 2 * tree_node + 1
            )
        return tree_node - self.leaves

    def _grow(self) -> None:
        values = self.tree[self.leaves :] + [OPEN] * self.leaves
        self.leaves *= 2
        self.tree = [OPEN] * self.leaves + values
        for tree_node in range(self.leaves - 1, 0, -1):
            self.tree[tree_node] = max(
                self.tree[2 * tree_node], self.tree[2 * tree_node + 1]
            )


def by_group(start: Int64, end: Int64, group: Int64) -> Int64:
    """Return the lane of each slice among those of its own group."""
    lane_of_slice = np.zeros(start.size, np.int64)
    group_order = np.argsort(group, kind="stable")
    group_edges = np.flatnonzero(np.diff(group[group_order], prepend=-1, append=-1))
    for group_start, group_end in pairwise(group_edges.tolist()):
        group_rows = group_order[group_start:group_end]
        lane_of_slice[group_rows] = assign(start[group_rows], end[group_rows])
    return lane_of_slice
