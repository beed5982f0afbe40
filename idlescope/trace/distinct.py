"""The distinct values of a column.

np.unique does the same, but hashes first in newer numpy, which is several times slower here.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.table import Bool, Int64

NumberT = TypeVar("NumberT", bound=np.generic)


def distinct(*columns: NDArray[NumberT]) -> NDArray[NumberT]:
    """Return the distinct values of one-dimensional columns of one type, ascending."""
    ordered = np.sort(columns[0] if len(columns) == 1 else np.concatenate(columns))
    new = np.ones(ordered.size, np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def without(values: NDArray[NumberT], left_out: NDArray[Any]) -> NDArray[NumberT]:
    """Return the distinct values that are not among those left out, ascending."""
    return distinct(values[~np.isin(values, left_out)])


def among(values: NDArray[NumberT], others: NDArray[NumberT]) -> Bool:
    """Return which values are among others: np.isin, which imports numpy.ma for many (10 ms)."""
    if not others.size:
        return np.zeros(values.size, np.bool_)
    ordered = distinct(others)
    position = np.minimum(np.searchsorted(ordered, values), ordered.size - 1)
    return np.asarray(ordered[position] == values, np.bool_)


def indexed(values: Int64) -> tuple[Int64, NDArray[np.intp]]:
    """Return the distinct values of a column in order, and each row's index among them."""
    lowest, highest = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if highest - lowest > 4 * values.size + 1000:
        distinct_values, value_index = np.unique(values, return_inverse=True)
        return distinct_values, value_index
    # ids of an export lie close together: a table of all that lies between takes a fraction of the
    # time of sorting
    offset = values - lowest
    is_used = np.zeros(highest - lowest + 1, np.bool_)
    is_used[offset] = True
    return np.flatnonzero(is_used) + lowest, (np.cumsum(is_used) - 1)[offset]


def combined(*columns: Int64) -> tuple[list[tuple[int, ...]], NDArray[np.intp]]:
    """Return the combinations of values that rows have in columns, and each row's index of them."""
    values, index = indexed(columns[0])
    combinations: list[tuple[int, ...]] = [(int(value),) for value in values]
    for column in columns[1:]:
        # number the pairs of an earlier combination and a value of this column
        values, value_index = indexed(column)
        pair_codes, index = indexed(index * len(values) + value_index)
        earlier, last_index = np.divmod(pair_codes, len(values))
        combinations = [
            (*combinations[pair_index], int(values[value]))
            for pair_index, value in zip(earlier.tolist(), last_index.tolist(), strict=True)
        ]
    return combinations, index


def rows_of(ids: Int64, wanted: Int64) -> Int64:
    """Return for each wanted id the first row of `ids` that has it; -1 where none does."""
    order = np.argsort(ids, kind="stable")
    position = np.searchsorted(ids[order], wanted)
    has_row = position < ids.size
    found = np.full(wanted.size, -1, np.int64)
    candidates = order[position[has_row]]
    same_id = ids[candidates] == wanted[has_row]
    found[np.flatnonzero(has_row)[same_id]] = candidates[same_id]
    return found
