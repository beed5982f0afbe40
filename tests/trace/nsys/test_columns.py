"""Columns as codes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from idlescope.trace.nsys import columns as nsys_columns


@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(-3, 3)))
def test_distinct_values_are_those_of_numpy(values):
    column = np.array(values, np.int64)
    found, index = nsys_columns.indexed(column)
    expected, inverse = np.unique(column, return_inverse=True)
    assert (found.tolist(), index.tolist()) == (expected.tolist(), inverse.tolist())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1))))
def test_repeated_rows_are_those_seen_before(rows):
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] or [
        np.empty(0, np.int64)
    ]
    expected = [row in rows[:i] for i, row in enumerate(rows)]
    assert nsys_columns.repeated(columns).tolist() == expected
