"""Distinct values are those of numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from idlescope.trace.distinct import distinct, without

numbers = st.lists(st.integers(-5, 5))


@given(numbers, numbers)
def test_they_are_those_of_numpy(left, right):
    left, right = np.array(left, np.int64), np.array(right, np.int64)
    assert distinct(left).tolist() == np.unique(left).tolist()
    assert distinct(left, right).tolist() == np.union1d(left, right).tolist()
    assert without(left, right).tolist() == np.setdiff1d(left, right).tolist()
