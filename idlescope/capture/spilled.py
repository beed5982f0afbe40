"""Rows of integers or floats that a long run takes down: the newest in memory, the rest in a file.

The file has no name: it is gone when the process is, however that ends.
"""

from __future__ import annotations

import tempfile
from array import array
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

VALUES_IN_MEMORY = 1 << 16  # half a megabyte


class Spilled:
    """Values of one type; `recent` is what is appended to, between calls of `spill`."""

    def __init__(self, type_code: str) -> None:
        self.recent = array(type_code)
        self._file: IO[bytes] | None = None

    def spill(self) -> None:
        """Move what is recent to the file once it is much. Raises OSError on a full disk."""
        if len(self.recent) < VALUES_IN_MEMORY:
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="idlescope-")  # noqa: SIM115 - stays open
        self.recent.tofile(self._file)
        del self.recent[:]

    def values(self) -> NDArray[Any]:
        """Return all values, in order."""
        dtype = np.dtype(self.recent.typecode)
        recent = np.array(self.recent, dtype)
        if self._file is None:
            return recent
        self._file.seek(0)
        earlier = np.fromfile(self._file, dtype)
        self._file.seek(0, 2)
        return np.concatenate((earlier, recent))
