"""Columns that lie in files: mapped into memory, read as they are used, let go when they were."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _OnlyRead(mmap.mmap):
    """A mapping of which the file holds everything: its pages may go at any time."""


def mapped(descriptor: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what a file holds as a column that is only read; it outlives the descriptor."""
    return np.frombuffer(_OnlyRead(descriptor, 0, access=mmap.ACCESS_READ), dtype)


def let_go(column: NDArray[Any]) -> None:
    """Give back the memory that a column takes, if it is mapped: the file has it still."""
    base: Any = column
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, _OnlyRead) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
