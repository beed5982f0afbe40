"""What is reduced by group is what a loop over the groups finds."""

import numpy as np
import pytest

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups, by_key, by_value
from idlescope.analysis.intervals import AFTER_EVERYTHING, BEFORE_EVERYTHING


@pytest.fixture(params=range(5))
def drawn(request):
    """Return groups, some of them empty, with a start and an end for each value."""
    random = np.random.default_rng(request.param)
    start = random.integers(0, 1000, 200)
    end = start + random.integers(0, 40, 200)
    return Groups(random.integers(0, 60, 200), 64), start, end


def members(groups, values):
    return [values[groups.row == group] for group in range(groups.count)]


def test_first_and_last_are_those_of_each_group_and_say_which_are_empty(drawn):
    groups, start, end = drawn
    assert groups.first(start).tolist() == [
        some.min(initial=AFTER_EVERYTHING) for some in members(groups, start)
    ]
    assert groups.last(end).tolist() == [
        some.max(initial=BEFORE_EVERYTHING) for some in members(groups, end)
    ]
    assert groups.last(end, none=0)[63] == 0


def test_totals_and_sizes_are_those_of_each_group(drawn):
    groups, start, _ = drawn
    assert groups.total(start).tolist() == [some.sum() for some in members(groups, start)]
    assert groups.total_of_floats(start / 4).tolist() == (groups.total(start) / 4).tolist()
    assert groups.sizes().tolist() == [some.size for some in members(groups, start)]
    assert (groups.occupied() == (groups.sizes() > 0)).all()


def test_covered_time_is_the_union_within_each_group(drawn):
    groups, start, end = drawn
    unions = [
        intervals.union(some_start, some_end).measure
        for some_start, some_end in zip(
            members(groups, start), members(groups, end), strict=True
        )
    ]
    assert groups.covered(start, end).tolist() == unions


def test_totals_are_exact_where_floats_are_not():
    large = 2**53 + 1
    assert Groups(np.zeros(2, np.int64), 1).total(np.array([large, 2])).tolist() == [
        large + 2
    ]


def test_without_groups_there_is_nothing():
    none = np.empty(0, np.int64)
    assert Groups(none, 0).covered(none, none).size == 0
    groups, known = by_key(none, np.array([1, 2]))
    assert groups.count == 0
    assert not known.any()


def test_only_the_chosen_values_count():
    chosen = Groups(np.array([0, 1, 1]), 2).only(np.array([True, False, True]))
    assert chosen.sizes().tolist() == [1, 1]


def test_values_are_grouped_by_equality_or_by_key():
    distinct, groups = by_value(np.array([7, 3, 7]))
    assert distinct.tolist() == [3, 7]
    assert groups.row.tolist() == [1, 0, 1]
    groups, known = by_key(np.array([3, 7]), np.array([7, 4, 3, 9]))
    assert known.tolist() == [True, False, True, False]
    assert groups.row.tolist() == [1, 0]
