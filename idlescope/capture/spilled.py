"""Rows of integers or floats that a long run takes down: the newest in memory, the rest in a file.

The files have no name: they are gone when the process is, however that ends.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VALUES_IN_MEMORY = 1 << 16  # half a megabyte; of columns, too: longer ones lie in files


class Spilled:
    """Values of one type; `recent` is what is appended to, between calls of `spill`.

    The file lies in `folder`, that of temporary files unless given.
    """

    def __init__(self, type_code: str, folder: Path | None = None) -> None:
        self.recent: array[Any] = array(type_code)
        self._folder = folder
        self._file: int | None = None  # its descriptor

    def spill(self) -> None:
        """Move what is recent to the file once it is much. Raises OSError on a full disk."""
        if len(self.recent) < VALUES_IN_MEMORY:
            return
        if self._file is None:
            self._file = _nameless_file(self._folder)
            weakref.finalize(self, os.close, self._file)
        _append(self._file, self.recent)
        del self.recent[:]

    def values(self) -> NDArray[Any]:
        """Return all values, in order; those in a file are mapped into memory, not read."""
        dtype = np.dtype(self.recent.typecode)
        if self._file is None:
            return np.array(self.recent, dtype)
        _append(self._file, self.recent)
        del self.recent[:]
        return _mapped(self._file, dtype)


def column_of(
    parts: Sequence[NDArray[Any]],
    dtype: str,
    order: NDArray[np.intp] | None = None,
    folder: Path | None = None,
) -> NDArray[Any]:
    """Return parts one behind the other, in an order of their values, as one column of a type.

    A long one is mapped from a file in `folder`. Raises OSError on a full disk.
    """
    column: NDArray[Any] = np.concatenate(parts, dtype=dtype, casting="unsafe")
    if order is not None:
        column = column[order]
    if column.size <= VALUES_IN_MEMORY:
        return column
    descriptor = _nameless_file(folder)
    try:
        _append(descriptor, column)
        return _mapped(descriptor, column.dtype)  # which outlives the descriptor
    finally:
        os.close(descriptor)


def _nameless_file(folder: Path | None) -> int:
    """Return the descriptor of a new file without a name."""
    with tempfile.TemporaryFile(prefix="idlescope-", dir=folder) as file:
        return os.dup(file.fileno())


def _append(descriptor: int, values: Any) -> None:
    """Write all values of an array, of either kind."""
    rest = memoryview(values).cast("B") if len(values) else memoryview(b"")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _mapped(descriptor: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what a file holds; what is changed in memory changes nothing in it."""
    with open(os.dup(descriptor), "rb") as file:
        return np.asarray(np.memmap(file, dtype, mode="c"))
