"""Distinct values are those of numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from idlescope.trace.distinct import combined, distinct, rows_of, without

numbers = st.lists(st.integers(-5, 5))


@given(numbers, numbers)
def test_they_are_those_of_numpy(left, right):
    left, right = np.array(left, np.int64), np.array(right, np.int64)
    assert distinct(left).tolist() == np.unique(left).tolist()
    assert distinct(left, right).tolist() == np.union1d(left, right).tolist()
    assert without(left, right).tolist() == np.setdiff1d(left, right).tolist()


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1))
def test_combinations_of_columns_are_found_for_each_row(rows):
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)]
    combinations, index = combined(*columns)
    assert [combinations[row] for row in index] == rows
    assert len(set(combinations)) == len(combinations)


@given(st.lists(st.integers(-5, 5)), st.lists(st.integers(-7, 7)))
def test_rows_of_ids_are_the_first_that_have_them(ids, wanted):
    found = rows_of(np.array(ids, np.int64), np.array(wanted, np.int64)).tolist()
    assert found == [ids.index(one) if one in ids else -1 for one in wanted]
