"""Lanes: slices of one lane nest, no lane could have been earlier, and nothing moves where everything nests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlescope.export.perfetto import lanes

SLICES = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 12)), max_size=30)


def columns(slices):
    start = np.array([s for s, _ in slices], np.int64)
    return start, start + np.array([length for _, length in slices], np.int64)


def compatible(a, b):
    """Two slices may share a lane: one after the other, or one within the other."""
    return (
        a[1] <= b[0]
        or b[1] <= a[0]
        or (a[0] <= b[0] and b[1] <= a[1])
        or (b[0] <= a[0] and a[1] <= b[1])
    )


def first_fit(slices):
    """The definition, slice by slice and pair by pair."""
    laid: list[list[tuple[int, int]]] = []
    lane_of = {}
    for i in sorted(range(len(slices)), key=lambda i: (slices[i][0], -slices[i][1], i)):
        lane = next(
            (
                n
                for n, held in enumerate(laid)
                if all(compatible(slices[i], o) for o in held)
            ),
            len(laid),
        )
        if lane == len(laid):
            laid.append([])
        laid[lane].append(slices[i])
        lane_of[i] = lane
    return [lane_of[i] for i in range(len(slices))]


@given(SLICES)
def test_lanes_are_those_of_the_definition(slices):
    start, end = columns(slices)
    assert lanes.assign(start, end).tolist() == first_fit(
        list(zip(start.tolist(), end.tolist(), strict=True))
    )


@given(SLICES, st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_groups_do_not_disturb_each_other(slices, groups):
    start, end = columns(slices)
    group = np.array(groups[: len(slices)], np.int64)
    got = lanes.by_group(start, end, group)
    for g in set(group.tolist()):
        assert (
            got[group == g].tolist()
            == lanes.assign(start[group == g], end[group == g]).tolist()
        )


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([], []),
        ([(0, 10), (0, 5), (5, 10)], [0, 0, 0]),  # one after the other within a third
        ([(0, 10), (5, 15)], [0, 1]),
        ([(0, 10), (5, 15), (10, 20)], [0, 1, 0]),  # the first lane is free again
        ([(0, 10), (0, 10), (10, 10), (10, 10)], [0, 0, 0, 0]),  # equal and empty ones nest
        ([(0, 10), (1, 11), (2, 12), (3, 13), (4, 5)], [0, 1, 2, 3, 0]),
    ],
)
def test_small_ones(slices, expected):
    start, end = (np.array([s[i] for s in slices], np.int64) for i in (0, 1))
    assert lanes.assign(start, end).tolist() == expected


def test_many_lanes_take_little_time():
    start = np.arange(20_000, dtype=np.int64)
    assert lanes.assign(start, start + 30_000).tolist() == list(
        range(20_000)
    )  # all overlap: a quadratic one never ends
