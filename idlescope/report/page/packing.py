"""Pack integer columns into text that a page's script unpacks: byte planes, compressed, in base64.

All low bytes of a column come first, then all second ones, and so on up to the highest that is not 0 everywhere: times
that grow are nearly the same in their high bytes, which then compress to nothing. Exact up to 2**53, what a float64 of
the script holds.
"""

from __future__ import annotations

import base64
import gzip

import numpy as np

from idlescope.trace.table import Int64


class Packer:
    """Takes columns one by one; `text` is all of them, in that order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, column: Int64) -> int:
        """Add a column of integers from 0 on; return how many planes it has, which unpacking needs to know."""
        assert not column.size or column.min() >= 0
        planes = np.ascontiguousarray(column, "<i8").view(np.uint8).reshape(-1, 8).T
        count = (int(column.max(initial=0)).bit_length() + 7) // 8
        self._parts.append(planes[:count].tobytes())
        return count

    def text(self) -> str:
        """Return the columns as base64 of one gzip stream, the same for the same columns."""
        return base64.b64encode(gzip.compress(b"".join(self._parts), 6, mtime=0)).decode()
