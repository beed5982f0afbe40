"""The distinct values of a column.

np.unique does the same, but hashes first in newer numpy, which is several times slower here.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

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
