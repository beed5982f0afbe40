"""Memory that is freed stays with the process, for a child that does the same again and again.

glibc gives large pieces back to the system at once, which then clears each page anew: a sixth of
what it takes to analyse one file after the other.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

# Of glibc's malloc.h: what is freed at the end of the heap beyond so much goes back to the system;
# pieces of so much are no part of the heap.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20
_PIECE_BYTES = 32 << 20  # the most that glibc takes


def keep_freed_memory() -> None:
    """Keep freed memory from here on, as far as the C library can be told."""
    with suppress(OSError, AttributeError):  # another C library
        c_library = ctypes.CDLL(None)
        c_library.mallopt(_M_MMAP_THRESHOLD, _PIECE_BYTES)
        c_library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
