"""Pack integer columns into text that the page's script unpacks: byte planes, gzip, base64.

All low bytes of a column come first, then all second ones, and so on up to the highest that is not
0 everywhere. Times that grow are nearly the same in their high bytes, which then compress to almost
nothing. Exact up to 2**53, what a float64 of the script holds.
"""

from __future__ import annotations

import base64
import gzip

import numpy as np

from idlescope.trace.table import Int64

GZIP_LEVEL = 6


class Packer:
    """Takes columns one by one; `text` is all of them, in that order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, column: Int64) -> int:
        """Add a column of integers from 0 on; return how many planes it has, for unpacking."""
        assert not column.size or column.min() >= 0
        largest = int(column.max(initial=0))
        plane_count = (largest.bit_length() + 7) // 8
        little_endian = np.ascontiguousarray(column, "<i8")
        planes = little_endian.view(np.uint8).reshape(-1, 8).T
        self._parts.append(planes[:plane_count].tobytes())
        return plane_count

    def text(self) -> str:
        """Return the columns as base64 of one gzip stream, the same for the same columns."""
        compressed = gzip.compress(b"".join(self._parts), GZIP_LEVEL, mtime=0)
        return base64.b64encode(compressed).decode()
