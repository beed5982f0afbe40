"""Walk through protobuf messages without their descriptions: field numbers and raw values.

The encoding is that of protobuf.dev/programming-guides/encoding. A file that was cut off ends in a
message that is shorter than it says: what there is of it is walked through, and `Walk.cut` says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MOST_SHIFT = 63  # bits: a varint has ten bytes at the most
_WORD, _HALF = struct.Struct("<Q"), struct.Struct("<I")

Value = int | bytes


class MalformedError(ValueError):
    """Bytes that are no protobuf message."""


class Walk:
    """One pass over the messages of a file."""

    def __init__(self) -> None:
        self.cut = False  # a message ended before its length was reached

    def fields(self, message: bytes) -> Iterator[tuple[int, Value]]:
        """Yield the number and the value of each field of a message.

        A value is an unsigned integer, or the bytes of a string or a message.

        Raises MalformedError.
        """
        place, end = 0, len(message)
        try:
            while place < end:
                key = message[place]
                place += 1
                if key >= 0x80:
                    key, place = _varint(message, place - 1)
                wire_type = key & 7
                if wire_type == VARINT:
                    value = message[place]
                    place += 1
                    if value >= 0x80:
                        value, place = _varint(message, place - 1)
                    yield key >> 3, value
                elif wire_type == LENGTH:
                    length = message[place]
                    place += 1
                    if length >= 0x80:
                        length, place = _varint(message, place - 1)
                    if place + length > end:
                        self.cut = True
                    yield key >> 3, message[place : place + length]
                    place += length
                elif wire_type == FIXED64:
                    yield key >> 3, _WORD.unpack_from(message, place)[0]
                    place += 8
                elif wire_type == FIXED32:
                    yield key >> 3, _HALF.unpack_from(message, place)[0]
                    place += 4
                else:
                    raise MalformedError(f"wire type {wire_type} at byte {place}")
        except (IndexError, struct.error):
            self.cut = True  # within a number


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the number that starts at a byte, and the byte after it."""
    number = shift = 0
    while True:
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (2**64 - 1), place
        shift += 7
        if shift > MOST_SHIFT:
            raise MalformedError(f"a number without an end at byte {place}")


def signed(value: Value) -> int:
    """Return a varint as an int64; 0 for what is none."""
    if not isinstance(value, int):
        return 0
    return value - 2**64 if value >= 2**63 else value


def double(value: Value) -> float:
    """Return a fixed64 value as a float."""
    if not isinstance(value, int):
        return 0.0
    number: float = struct.unpack("<d", _WORD.pack(value))[0]
    return number


def text(value: Value) -> str:
    """Return a string; "" for what is none."""
    return "" if isinstance(value, int) else value.decode("utf-8", "replace")


def message(value: Value) -> bytes:
    """Return a message; an empty one for what is none."""
    return b"" if isinstance(value, int) else value
