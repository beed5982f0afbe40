"""The bytes of a trace file, unpacked as they are read: never more of it in memory than one piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from idlescope.errors import TraceError

PIECE_BYTES = 1 << 18  # read at once
UNPACKED_BYTES = 4 << 20  # unpacked at once
# Traces shrink 10 to 40 times; deflate can reach 1,032. More than this, after the first 64 MB, is a bomb, not a trace.
MOST_EXPANSION = 250
EXPANSION_CHECKED_FROM = 64 << 20
GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS


class Source:
    """One pass over the bytes of a file, or of a part of it; `damage` then says why it ended early, if it did."""

    def __init__(self, path: Path, start: int = 0, end: int | None = None) -> None:
        self.path = path
        self.start = start
        self.end = end  # byte to stop before; only for files that are not packed
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                packed = file.read(2) == GZIP_MAGIC
                file.seek(self.start)
                if packed:
                    yield from _ahead(self._unpacked(iter(lambda: file.read(PIECE_BYTES), b"")))
                    return
                left = self.path.stat().st_size if self.end is None else self.end - self.start
                while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise TraceError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _unpacked(self, packed: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack gzip data of one or several members; what follows damage is left out."""
        unpack, within = zlib.decompressobj(_GZIP), True
        read = written = 0
        for data in packed:
            read += len(data)
            rest = data
            while rest:
                before = unpack.copy()
                try:
                    piece = unpack.decompress(rest, UNPACKED_BYTES)
                except zlib.error as error:
                    for piece in _until_it_breaks(before, rest):
                        written += len(piece)
                        yield piece
                    self.damage = f"its gzip data breaks after {written:,} bytes of text ({error})"
                    return
                within = True
                written += len(piece)
                if written > EXPANSION_CHECKED_FROM and written > MOST_EXPANSION * read:
                    raise TraceError(
                        f"{self.path} unpacks to over {MOST_EXPANSION} times its size ({written >> 20:,} MB from "
                        f"{read / 2**20:.1f} MB so far): no trace does; unpack it yourself first if you trust it"
                    )
                if piece:
                    yield piece
                rest = unpack.unconsumed_tail
                if unpack.eof:
                    rest = unpack.unused_data.lstrip(b"\0")  # tapes and some copies pad with zeros
                    unpack, within = zlib.decompressobj(_GZIP), False
        if within:
            if piece := unpack.flush():
                yield piece
            self.damage = f"its gzip data ends early, after {written + len(piece):,} bytes of text"


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces cut small, the next one being made meanwhile by a thread: zlib works beside what decodes.

    A piece takes longer than Python lets one thread wait for the other (5 ms), else they would take turns.
    """
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pieces, b"")
        while piece := following.result():
            following = thread.submit(next, pieces, b"")
            for start in range(0, len(piece), PIECE_BYTES):
                yield piece[start : start + PIECE_BYTES]


def _until_it_breaks(unpack: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Yield what can be unpacked of data that is known to break, bit by bit."""
    try:
        while data and (piece := unpack.decompress(data, 64)):
            yield piece
            data = unpack.unconsumed_tail
    except zlib.error:
        return
