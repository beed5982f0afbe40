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

from idlescope.trace.mapped_columns import mapped

VALUES_IN_MEMORY = 1 << 16  # half a megabyte; of columns, too: longer ones lie in files
ROWS_AT_ONCE = 1 << 16  # of a file that is read


class Spilled:
    """Rows of values of one type, one behind the other.

    `recent` is what is appended to, whole rows at a time, between calls of `spill`, which Ctrl-C
    may end anywhere. The file lies in `folder`, that of temporary files unless given.
    """

    def __init__(self, type_code: str, width: int, folder: Path | None = None) -> None:
        self.recent: array[Any] = array(type_code)
        self.width = width  # values of a row
        self._folder = folder
        self._file: int | None = None  # its descriptor
        self._moving = 0  # values that go to the file now, to lie behind so many bytes:
        self._begin_bytes = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        self._undo_half_a_move()
        in_file = 0 if self._file is None else os.fstat(self._file).st_size
        values = len(self.recent) + in_file // self.recent.itemsize
        return values // self.width

    def spill(self) -> None:
        """Move what is recent to the file once it is much. Raises OSError on a full disk."""
        count = len(self.recent)
        if count < VALUES_IN_MEMORY:
            return
        if self._file is None:
            self._file = _nameless_file(self._folder)
            weakref.finalize(self, os.close, self._file)
        self._undo_half_a_move()
        self._begin_bytes = os.fstat(self._file).st_size
        self._moving = count
        # only these: a run of the garbage collector may append its own row meanwhile
        _append(self._file, self.recent[:count])
        del self.recent[:count]
        self._moving = 0

    def _undo_half_a_move(self) -> None:
        """Take out of the file again what was not taken out of `recent`: it would count twice."""
        if self._moving and len(self.recent) >= self._moving and self._file is not None:
            os.ftruncate(self._file, self._begin_bytes)
        self._moving = 0

    def column(self, index: int) -> NDArray[Any]:
        """Return one column of all rows, in order; of the others, a piece is read at a time."""
        self._undo_half_a_move()
        dtype = np.dtype(self.recent.typecode)
        recent = np.array(self.recent, dtype).reshape(-1, self.width)[:, index]
        if self._file is None:
            return recent
        column = np.empty(len(self), dtype)
        row_bytes = self.width * dtype.itemsize
        in_file = column.size - recent.size
        for first_row in range(0, in_file, ROWS_AT_ONCE):
            content = os.pread(self._file, ROWS_AT_ONCE * row_bytes, first_row * row_bytes)
            rows = np.frombuffer(content, dtype).reshape(-1, self.width)
            column[first_row : first_row + len(rows)] = rows[:, index]
        column[in_file:] = recent
        return column


def in_file(column: NDArray[Any], folder: Path | None = None) -> NDArray[Any]:
    """Return a long column as one that is mapped from a file in a folder, and only read.

    A short one is returned as it is. Raises OSError on a full disk.
    """
    if column.size <= VALUES_IN_MEMORY:
        return column
    descriptor = _nameless_file(folder)
    try:
        _append(descriptor, column)
        return mapped(descriptor, column.dtype)
    finally:
        os.close(descriptor)


def joined(parts: Sequence[NDArray[Any]], dtype: str) -> NDArray[Any]:
    """Return parts one behind the other as a column of a type; one alone is not copied."""
    if len(parts) == 1:
        return parts[0].astype(dtype, copy=False)
    column: NDArray[Any] = np.concatenate(parts, dtype=dtype, casting="unsafe")
    return column


def _nameless_file(folder: Path | None) -> int:
    """Return the descriptor of a new file without a name."""
    with tempfile.TemporaryFile(prefix="idlescope-", dir=folder) as file:
        return os.dup(file.fileno())


def _append(descriptor: int, values: Any) -> None:
    """Write all values of an array, of either kind."""
    rest = memoryview(values).cast("B") if len(values) else memoryview(b"")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
