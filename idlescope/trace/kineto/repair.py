"""Repair JSON text that profilers, editors and copies have damaged, and say what was done.

Each repair is tried on a stretch of events that does not decode. They are applied one after the
other, mildest first, until it does. What still does not decode is taken apart event by event
(salvage.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# A candidate for the boundary between two events. Objects nested in an event's args look the same.
CUT = re.compile(rb"\}\s*,\s*(?=\{)")

LIST_END = re.compile(rb"\}\s*\]")
# a bracket that closes nothing: more events stand behind it
STRAY_CLOSE = re.compile(rb"\]\s*,?\s*(?=\{)")
BEHIND_EVENT = b" \t\r\n,"  # what may stand between two events
_BEHIND_LIST = re.compile(rb'\s*(?:,\s*"[^"]*"\s*:.*)?\}?\s*', re.DOTALL)

Done = list[tuple[str, int, int]]  # what was repaired, how often, where first


class Repaired(NamedTuple):
    """A text after one kind of repair."""

    text: bytes
    repairs: int  # how many; 0: the text is as it was
    first: int  # where the first was


Step = Callable[[bytes], Repaired]

_WHITE = bytes((9, 10, 13))
_CONTROL = bytes(code for code in range(32) if code not in _WHITE)
_CONTROL_TO_SPACE = bytes.maketrans(_CONTROL, b" " * len(_CONTROL))
_WHITE_TO_SPACE = bytes.maketrans(_WHITE, b"   ")
_ESCAPE = re.compile(rb'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|)')
_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
    rb"|[c-fC-F][0-9a-fA-F]{2})"
)
_NOT_A_NUMBER = re.compile(rb"(?<=[:\[,\s])[-+]?(?:NaN|nan|Infinity|inf|Inf)(?=\s*[,}\]])")
_HUGE = re.compile(rb"(?<=[:\[,\s])-?\d+(?:\.\d+)?[eE]\+?\d{3,}(?=\s*[,}\]])")
# Kineto writes "blocks per SM" and "warps per SM" in the user's locale (pytorch#191032). After the
# comma of an object stands a key, never a number. In lists a comma may be either: they stay; and
# an id with a comma is none.
_DECIMAL_COMMA = re.compile(
    rb'"([^"\\]{1,80})"(\s*:\s*-?\d+),(\d+(?:[eE][-+]?\d+)?)(?=\s*[,}])'
)
_IDS = frozenset(
    {b"correlation", b"device", b"stream", b"pid", b"tid", b"id", b"bytes", b"step"}
)
_TRAILING_COMMA = re.compile(rb'(?<=[}\]"0-9le]),(?=\s*[}\]])')
_DOUBLE_COMMA = re.compile(rb"(?<=\}),(?:\s*,)+(?=\s*\{)")
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}]', re.DOTALL)


def object_end(text: bytes, start: int, limit: int) -> int:
    """Return where the object that opens at `start` ends; -1 if not before `limit`.

    Braces in strings do not count.
    """
    depth = 0
    for token in _TOKEN.finditer(text, start, limit):
        brace = token[0]
        if brace == b"{":
            depth += 1
        elif brace == b"}":
            depth -= 1
            if not depth:
                return token.end()
    return -1


def closes_list(text: bytes) -> bool:
    """Return whether a text that ends a file closes the list of events.

    There may be metadata behind it.
    """
    ends = [match.end() for match in LIST_END.finditer(text)]
    return bool(ends) and _BEHIND_LIST.fullmatch(text, ends[-1]) is not None


def repairs(text: bytes) -> Iterator[tuple[bytes, Done]]:
    """Yield ever more repaired versions of a text, each with all that was done to it."""
    repairs_done: Done = []
    for description, step in _STEPS:
        text, count, first = step(text)
        if count:
            repairs_done = [*repairs_done, (description, count, first)]
            yield text, repairs_done


def versions(text: bytes) -> Iterator[tuple[bytes, Done]]:
    """Yield a text as it is, then what `repairs` makes of it, as far as one goes on asking."""
    yield text, []
    yield from repairs(text)


def _replace_bad_utf8(text: bytes) -> Repaired:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        decoded = text.decode("utf-8", "replace")
        return Repaired(decoded.encode(), decoded.count("\ufffd"), error.start)
    return Repaired(text, 0, 0)


def _translate(table: bytes, bad: bytes) -> Step:
    """Return a step that turns the bytes `bad` into others by a table."""
    pattern = re.compile(b"[" + re.escape(bad) + b"]")

    def step(text: bytes) -> Repaired:
        repaired_text = text.translate(table)
        first = pattern.search(text) if repaired_text != text else None
        if first is None:
            return Repaired(text, 0, 0)
        return Repaired(
            repaired_text, len(text) - len(text.translate(None, bad)), first.start()
        )

    return step


def _substitute(
    pattern: re.Pattern[bytes],
    replacement: Callable[[re.Match[bytes]], bytes],
    sign: re.Pattern[bytes] | None = None,
) -> Step:
    """Return a step that replaces matches; a match that its replacement equals is no repair.

    `sign` is quicker to look for, and in every text with a match.
    """

    def step(text: bytes) -> Repaired:
        if sign is not None and not sign.search(text):
            return Repaired(text, 0, 0)
        places: list[int] = []

        def replace(match: re.Match[bytes]) -> bytes:
            new = replacement(match)
            if new != match[0]:
                places.append(match.start())
            return new

        repaired_text = pattern.sub(replace, text)
        return Repaired(repaired_text, len(places), places[0] if places else 0)

    return step


def _with_point(match: re.Match[bytes]) -> bytes:
    key, whole, decimals = match.groups()
    return match[0] if key in _IDS else b'"%s"%s.%s' % (key, whole, decimals)


_STEPS: tuple[tuple[str, Step], ...] = (
    ("bytes that are not UTF-8 were replaced", _replace_bad_utf8),
    ("control characters were taken as spaces", _translate(_CONTROL_TO_SPACE, _CONTROL)),
    (
        "backslashes that escape nothing were kept as they are",
        _substitute(_ESCAPE, lambda match: match[0] if match[1] else b"\\\\"),
    ),
    (
        "halves of surrogate pairs were replaced",
        _substitute(_SURROGATE, lambda match: match[0] if match[1] else b"\\ufffd"),
    ),
    (
        "NaN or Infinity was taken as missing",
        _substitute(_NOT_A_NUMBER, lambda _: b"null", re.compile(rb"NaN|nan|Inf|inf")),
    ),
    (
        "numbers beyond any range were taken as missing",
        _substitute(_HUGE, lambda _: b"null", re.compile(rb"[eE]\+?\d{3}")),
    ),
    (
        "decimal commas were taken as points",
        _substitute(_DECIMAL_COMMA, _with_point),
    ),
    ("commas too many were left out", _substitute(_DOUBLE_COMMA, lambda _: b",")),
    ("commas too many were left out", _substitute(_TRAILING_COMMA, lambda _: b"")),
    # last: between tokens a line break is sound, so this says something only where nothing else
    # helped
    (
        "line breaks or tabs within text were taken as spaces",
        _translate(_WHITE_TO_SPACE, _WHITE),
    ),
)
