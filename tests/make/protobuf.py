"""Write protobuf messages: fields as (number, value), a nested message as a list of them."""

from __future__ import annotations

import struct
from typing import Any


def varint(number: int) -> bytes:
    """Encode an integer; negative ones take ten bytes."""
    number &= 2**64 - 1
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def message(fields: list[tuple[int, Any]]) -> bytes:
    """Encode fields: ints as varints, floats as fixed64, text, bytes and lists with their length."""
    encoded = bytearray()
    for number, value in fields:
        if isinstance(value, float):
            encoded += varint(number << 3 | 1) + struct.pack("<d", value)
        elif isinstance(value, int):
            encoded += varint(number << 3) + varint(value)
        else:
            content = message(value) if isinstance(value, list) else value
            content = content.encode() if isinstance(content, str) else content
            encoded += varint(number << 3 | 2) + varint(len(content)) + content
    return bytes(encoded)
