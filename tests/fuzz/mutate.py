"""Mutations: of bytes, of JSON values, of tables' columns. All are drawn from one generator."""

from __future__ import annotations

import json
import marshal
from random import Random
from typing import Any

NUMBERS = (
    0, 1, -1, 2, 7, 255, 2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**53 + 1, 2**61, 2**62, 2**63 - 1, 2**63, -(2**63),
    2**64, 10**30, 0.5, -0.0, 1e-9, 1e18, 1e300, -1e300,
)  # fmt: skip
TEXTS = (
    "", " ", "0", "-1", "1.5", "1e9", "NaN", "inf", "x", "é", "\u202e", "\u0000", "\ud800", "::error::x", "=1+1", "a" * 300,
    "ProfilerStep#5", "ProfilerStep#99999999999999999999", "execute_context_1(3)_generation_2(2)", "step[DECODE bs=4]",
    "idlescope", "kernel", "gpu_memcpy", "cuda_runtime", "user_annotation", "python_function", "X", "M", "i", "stream 7",
    "1e999990", "-1e999999", "1e-999999", "9" * 5000, "sNaN", "-Infinity", "0x10", "1_000", "\u0663", "\x1b[2J", "<b>", "a\nb", "-0",
)  # fmt: skip
SPLICES = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\x00",
    b"\xff",
    b"NaN",
    b"null",
    b"1e999",
    b"\\ud800",
    b"5,3",
)


def hostile(random: Random) -> Any:
    """Return a value that may be of any type."""
    kind = random.randrange(8)
    if kind < 3:
        return random.choice(NUMBERS)
    if kind < 5:
        return random.choice(TEXTS)
    return random.choice(
        (None, True, False, [], {}, [1], {"a": 1}, _deep(), float("nan"), float("inf"))
    )


def _deep() -> Any:
    """Return a list within a list, and so on; a new one, since mutations may change it."""
    deep: Any = None
    for _ in range(60):
        deep = [deep]
    return deep


def of_bytes(data: bytes, random: Random) -> bytes:
    """Return bytes with one to three changes: bits, stretches left out, repeated, moved or cut off."""
    mutated = bytearray(data)
    for _ in range(random.randint(1, 3)):
        if not mutated:
            break
        place, length = random.randrange(len(mutated)), 1 << random.randrange(8)
        change = random.randrange(7)
        if change == 0:
            mutated[place] ^= 1 << random.randrange(8)
        elif change == 1:
            mutated[place] = random.randrange(256)
        elif change == 2:
            del mutated[place : place + length]
        elif change == 3:
            mutated[place:place] = mutated[place : place + length]
        elif change == 4:
            other = random.randrange(len(mutated))
            mutated[place : place + length] = mutated[other : other + length]
        elif change == 5:
            mutated[place:place] = random.choice(SPLICES)
        elif random.random() < 0.3:
            del mutated[place:]
    return bytes(mutated)


def of_json(document: Any, random: Random) -> Any:
    """Return a JSON document with one to three values changed, left out, repeated or moved."""
    mutated = _copied(document)
    for _ in range(random.randint(1, 3)):
        holder, key = _anywhere(mutated, random)
        if holder is None:
            return hostile(random)
        change = random.randrange(6)
        if change < 3:
            holder[key] = hostile(random)
        elif change == 3:
            del holder[key]
        elif change == 4 and isinstance(holder, list):
            holder.insert(key, _copied(holder[key]))
        else:
            other, other_key = _anywhere(mutated, random)
            if other is not None:
                holder[key] = _copied(other[other_key])
    return mutated


def _copied(value: Any) -> Any:
    """Return a copy of a JSON value that shares nothing with it: as `copy.deepcopy`, ten times faster."""
    without_references = 2  # of marshal's versions
    return marshal.loads(marshal.dumps(value, without_references))  # noqa: S302 - of our own


def _anywhere(document: Any, random: Random) -> tuple[Any, Any]:
    """Return a container within a document, and a key of it."""
    holder: Any = None
    key: Any = None
    here = document
    while isinstance(here, (dict, list)) and here:
        key = (
            random.choice(list(here))
            if isinstance(here, dict)
            else random.randrange(len(here))
        )
        holder, here = here, here[key]
        if random.random() < 0.25:
            break
    return holder, key


def encoded(document: Any) -> bytes:
    """Return a document as JSON, also what only some parsers take: NaN, halves of surrogates."""
    return json.dumps(document, ensure_ascii=True).encode()


def of_column(values: list[Any], random: Random) -> list[Any]:
    """Return a column of a table with some of its values changed, to one type where it can be."""
    mutated = list(values)
    change = random.randrange(5)
    if change == 0:
        return [None] * len(mutated)
    if change == 1:
        random.shuffle(mutated)
        return mutated
    replacement = random.choice((*NUMBERS, *TEXTS, None))
    for _ in range(random.randint(1, 3)):
        if mutated:
            mutated[random.randrange(len(mutated))] = replacement
    return mutated
