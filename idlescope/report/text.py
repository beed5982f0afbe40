"""Text as it is shown: nothing in it acts on a terminal, a page or a picture; times have units."""

from __future__ import annotations

import json
import re
from typing import Any

NOTHING = "–"  # stands in tables for what is not known or not there

# What is not seen but acts: C0 with ESC, newline and tab; DEL and C1; halves of surrogate pairs;
# line separators; marks that turn the direction of text or have no width, behind which a name can
# pass for another (Unicode's general category Cf, and letters that are blank); and what XML, and so
# SVG, does not allow.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffb\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_WORKFLOW_COMMAND = "##["  # anywhere in a line, to GitHub's runners and those of others
_SURROGATE = re.compile("[\ud800-\udfff]")
_TIME_UNITS = (("s", 1e9), ("ms", 1e6), ("µs", 1e3))  # name, ns
_TAIL_CHARACTERS = 20  # of a shortened name: what differs is often at its end


def visible(text: str) -> str:
    """Return a text on one line, with U+FFFD for each character that is not shown but acts."""
    shown_text = _UNSEEN.sub("\ufffd", text)
    return shown_text.replace(_WORKFLOW_COMMAND, "##\ufffd[")


def as_line(text: str) -> str:
    """Return a text as a line of its own that no runner of workflows takes for a command."""
    shown_text = visible(text)
    return f"…{shown_text}" if shown_text.lstrip().startswith("::") else shown_text


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold: file names that are not UTF-8 have surrogates in them."""
    return _SURROGATE.sub("\ufffd", text)


def to_text(document: dict[str, Any]) -> str:
    """Return a JSON document as text, the same text for the same document.

    What is not shown but acts is escaped as JSON does; line breaks outside of its texts stay.
    """
    json_text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    safe_lines = map(_escaped, encodable(json_text).split("\n"))
    return "\n".join(safe_lines) + "\n"


def _escaped(json_line: str) -> str:
    """Return a line of JSON with escapes for what would act."""
    if (
        json_line.isascii()
        and _WORKFLOW_COMMAND not in json_line
        and "\x7f" not in json_line
    ):
        return json_line
    escaped = _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], json_line)
    return escaped.replace("\x7f", "\\u007f").replace(_WORKFLOW_COMMAND, "##\\u005b")


def as_cell(text: str) -> str:
    """Return a text as a cell of a table for spreadsheets, where it is no formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def milliseconds(ns: float) -> str:
    """Return a length of time with the unit, ns to s, that suits it."""
    for unit_name, unit_scale in _TIME_UNITS:
        if abs(ns) >= 1000 * unit_scale:
            return f"{ns / unit_scale:,.0f} {unit_name}"
        if abs(ns) >= unit_scale:
            return f"{ns / unit_scale:.3g} {unit_name}"
    return f"{ns:.0f} ns"


def share(part: int, whole: int) -> str:
    """Return a part in per cent of a whole; a dash for no part."""
    from idlescope.analysis.intervals import (
        percent,
    )  # with numpy, which commands start without

    return f"{percent(part, whole):.1f} %" if part else NOTHING


def shorten(name: str, width: int = 60) -> str:
    """Return a name that fits a table: the middle of a long one is left out."""
    if len(name) <= width:
        return name
    name_start = name[: width - _TAIL_CHARACTERS - 1]
    return f"{name_start}…{name[-_TAIL_CHARACTERS:]}"
