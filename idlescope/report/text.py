"""Text as it is shown: nothing in it acts on a terminal, a page or a picture, and times have a unit that suits them."""

from __future__ import annotations

import json
import re
from typing import Any

# C0 with ESC, newline and tab; DEL and C1; halves of surrogate pairs; line separators; marks that turn the direction of
# text, behind which a name can pass for another; and what XML, and so SVG, does not allow
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text on one line with U+FFFD for each character that is not shown but acts."""
    return _UNSEEN.sub("\ufffd", text)


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold: file names that are not UTF-8 have halves of surrogate pairs in them."""
    return _SURROGATE.sub("\ufffd", text)


def to_text(document: dict[str, Any]) -> str:
    """Return a JSON document as text, the same text for the same document."""
    return encodable(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def milliseconds(ns: float) -> str:
    """Return a length of time with a unit that suits it."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= scale:
            return (
                f"{ns / scale:.3g} {unit}"
                if abs(ns) < 1000 * scale
                else f"{ns / scale:,.0f} {unit}"
            )
    return f"{ns:.0f} ns"
