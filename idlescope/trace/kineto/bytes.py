"""The bytes of a trace file, unpacked as they are read: never more in memory than one piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from idlescope.errors import TraceError
from idlescope.trace.expansion import refuse_bomb

PIECE_BYTES = 1 << 18  # read at once
# read of packed data at once: what lies behind each member, of 200,000 at times, is copied
PACKED_BYTES = 1 << 14
UNPACKED_BYTES = 4 << 20  # unpacked at once
WORTH_A_THREAD_BYTES = (
    1 << 18
)  # packed; of less, all is unpacked before a thread would help
GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS


class Source:
    """One pass over the bytes of a file, or of a part of it.

    `damage` then says why it ended early, if it did. Raises TraceError where the file cannot be
    read or unpacks to far more than a trace does.
    """

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
                    packed_pieces = iter(lambda: file.read(PACKED_BYTES), b"")
                    text_pieces = _gathered(self._unpacked(packed_pieces))
                    long = self.path.stat().st_size >= WORTH_A_THREAD_BYTES
                    yield from _cut(_ahead(text_pieces) if long else text_pieces)
                else:
                    yield from self._plain(file)
        except OSError as error:
            raise TraceError(
                f"{self.path} cannot be read: {error.strerror or error}"
            ) from error

    def _plain(self, file: IO[bytes]) -> Iterator[bytes]:
        end = self.path.stat().st_size if self.end is None else self.end
        bytes_left = end - self.start
        while bytes_left > 0 and (text_piece := file.read(min(PIECE_BYTES, bytes_left))):
            bytes_left -= len(text_piece)
            yield text_piece

    def _unpacked(self, packed_pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack gzip data of one or several members; what follows damage is left out."""
        unpacker, within_member = zlib.decompressobj(_GZIP), True
        bytes_read = bytes_written = 0
        for packed in packed_pieces:
            bytes_read += len(packed)
            packed_rest = packed
            while packed_rest:
                before_piece = unpacker.copy() if within_member else None
                try:
                    text_piece = unpacker.decompress(packed_rest, UNPACKED_BYTES)
                except zlib.error as error:
                    before_piece = before_piece or zlib.decompressobj(_GZIP)
                    for text_piece in _until_it_breaks(before_piece, packed_rest):
                        bytes_written += len(text_piece)
                        yield text_piece
                    after = f"after {bytes_written:,} bytes of text"
                    self.damage = f"its gzip data breaks {after} ({error})"
                    return
                within_member = True
                bytes_written += len(text_piece)
                refuse_bomb(self.path, bytes_read, bytes_written)
                if text_piece:
                    yield text_piece
                packed_rest = unpacker.unconsumed_tail
                if unpacker.eof:
                    # tapes and some copies pad with zeros
                    packed_rest = unpacker.unused_data.lstrip(b"\0")
                    unpacker, within_member = zlib.decompressobj(_GZIP), False
        if within_member:
            if text_piece := unpacker.flush():
                bytes_written += len(text_piece)
                yield text_piece
            self.damage = f"its gzip data ends early, after {bytes_written:,} bytes of text"


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces put together to what is worth handing from thread to thread."""
    gathered: list[bytes] = []
    length = 0
    for text_piece in pieces:
        gathered.append(text_piece)
        length += len(text_piece)
        if length >= UNPACKED_BYTES:
            yield b"".join(gathered)
            gathered, length = [], 0
    if gathered:
        yield b"".join(gathered)


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces, while a thread makes the next one: zlib works beside what decodes.

    A piece takes longer than Python lets one thread wait for the other (5 ms), else they would take
    turns.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pieces, b"")
        while text_piece := following.result():
            following = thread.submit(next, pieces, b"")
            yield text_piece


def _cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces cut to what is decoded at once."""
    for text_piece in pieces:
        for start in range(0, len(text_piece), PIECE_BYTES):
            yield text_piece[start : start + PIECE_BYTES]


def _until_it_breaks(unpacker: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Yield what can be unpacked of data that is known to break, bit by bit."""
    try:
        while packed and (text_piece := unpacker.decompress(packed, 64)):
            yield text_piece
            packed = unpacker.unconsumed_tail
    except zlib.error:
        return
