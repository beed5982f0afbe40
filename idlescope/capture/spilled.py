"""Rows of integers or floats that a long run takes down: the newest in memory, the rest in a file.

The file has no name: it is gone when the process is, however that ends.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

VALUES_IN_MEMORY = 1 << 16  # half a megabyte


class Spilled:
    """Values of one type; `recent` is what is appended to, between calls of `spill`."""

    def __init__(self, type_code: str) -> None:
        self.recent: array[Any] = array(type_code)
        self._file: int | None = None  # its descriptor

    def spill(self) -> None:
        """Move what is recent to the file once it is much. Raises OSError on a full disk."""
        if len(self.recent) < VALUES_IN_MEMORY:
            return
        if self._file is None:
            with tempfile.TemporaryFile(prefix="idlescope-") as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file)
        rest = self.recent.tobytes()
        while rest:
            rest = rest[os.write(self._file, rest) :]
        del self.recent[:]

    def values(self) -> NDArray[Any]:
        """Return all values, in order."""
        dtype = np.dtype(self.recent.typecode)
        recent = np.array(self.recent, dtype)
        if self._file is None:
            return recent
        with open(os.dup(self._file), "rb") as file:
            file.seek(0)
            earlier = np.fromfile(file, dtype)
            file.seek(
                0, os.SEEK_END
            )  # which the two descriptors share: where to go on writing
        return np.concatenate((earlier, recent))
