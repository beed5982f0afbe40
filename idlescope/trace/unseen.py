"""Characters that are not shown but act, and JSON in which they stand as escapes."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

# C0 with ESC, newline and tab; DEL and C1; halves of surrogate pairs; line separators; marks that
# turn the direction of text or have no width, behind which a name can pass for another (Unicode's
# general category Cf, and letters that are blank); and what XML, and so SVG, does not allow.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffb\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold: file names that are not UTF-8 have surrogates in them."""
    return _SURROGATE.sub("\ufffd", text)


def spelled(text: str) -> str:
    """Return a text in which what is not shown stands as JSON's escapes: different ones stay so."""
    return UNSEEN.sub(_escape, text)


def escaped(json_text: str) -> str:
    """Return JSON with escapes in its texts for what is not shown; its own line breaks stay."""
    if json_text.isascii() and "\x7f" not in json_text:
        return json_text
    return _unseen_in_lines().sub(_escape, json_text)


def encoded(document: Any) -> bytes:
    """Return a document that msgspec knows as JSON, escaped so."""
    import msgspec  # not needed to escape a text, which completion in a shell waits for

    return escaped(msgspec.json.encode(document).decode()).encode()


@cache
def _unseen_in_lines() -> re.Pattern[str]:
    """Return the pattern of what is not shown but for line breaks; not all need it compiled."""
    return re.compile(UNSEEN.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1] if found[0] != "\x7f" else "\\u007f"
