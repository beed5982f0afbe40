"""How a file is packed, told by its first bytes, and the first bytes of what is in it."""

from __future__ import annotations

import zlib
from enum import Enum
from pathlib import Path

PACKED_BYTES = 1 << 15  # of a gzip file: what is unpacked to look at
UNPACKED_BYTES = 1 << 16
TAR_MAGIC = slice(257, 262)


class Packing(Enum):
    """The ways in which files are packed: what they begin with."""

    GZIP = b"\x1f\x8b"
    XZ = b"\xfd7zXZ\x00"
    ZSTD = b"\x28\xb5\x2f\xfd"
    BZIP2 = b"BZh"
    LZ4 = b"\x04\x22\x4d\x18"
    ZIP = b"PK\x03\x04"
    TAR = b"ustar"  # at byte 257

    @property
    def is_archive(self) -> bool:
        """Whether there may be several files in it."""
        return self in (Packing.ZIP, Packing.TAR)


def packing_of(head: bytes) -> Packing | None:
    """Return how a file is packed, from its first bytes; None for what is not packed."""
    for packing in Packing:
        place = TAR_MAGIC if packing is Packing.TAR else slice(None)
        if head[place].startswith(packing.value):
            return packing
    return None


def unpacked_head(path: Path, head: bytes) -> bytes:
    """Return the first bytes of what a gzip file holds, and those of any other file as they are.

    They are none where it is damaged: its reader says where.
    """
    if packing_of(head) is not Packing.GZIP:
        return head
    try:
        with path.open("rb") as packed_file:
            packed = packed_file.read(PACKED_BYTES)
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with gzip's header
        return unpacking.decompress(packed, UNPACKED_BYTES)
    except (OSError, zlib.error):
        return b""
