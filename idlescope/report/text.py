"""Text as it is shown: nothing in it acts on a terminal, a page or a picture; times have units."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from idlescope.trace.unseen import UNSEEN, encodable, spelled

NOTHING = "–"  # stands in tables for what is not known or not there

_WORKFLOW_COMMAND = "##["  # anywhere in a line, to GitHub's runners and those of others
_TIME_UNITS = (("s", 1e9), ("ms", 1e6), ("µs", 1e3))  # name, ns
_TAIL_CHARACTERS = 20  # of a shortened name: what differs is often at its end


def visible(text: str) -> str:
    """Return a text on one line, with U+FFFD for each character that is not shown but acts."""
    shown_text = UNSEEN.sub("\ufffd", text)
    return shown_text.replace(_WORKFLOW_COMMAND, "##\ufffd[")


def as_line(text: str) -> str:
    """Return a text as a line of its own that no runner of workflows takes for a command."""
    shown_text = visible(text)
    return f"…{shown_text}" if shown_text.lstrip().startswith("::") else shown_text


def to_text(document: dict[str, Any]) -> str:
    """Return a JSON document as text, the same text for the same document.

    What is not shown but acts is escaped as JSON does; line breaks outside of its texts stay.
    """
    import msgspec  # not needed by what shows short texts

    # In one line first: Python's own encoder is in C for that only, and nothing but texts is
    # escaped in it.
    one_line = json.dumps(
        document, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    indented = msgspec.json.format(spelled(encodable(one_line)), indent=1)
    return indented.replace(_WORKFLOW_COMMAND, "##\\u005b") + "\n"


def in_pieces(
    document: dict[str, Any], long_entry: str, parts: Iterable[bytes]
) -> Iterator[str]:
    """Return `to_text` of a document in pieces, so that a long list is never there as a whole.

    `document[long_entry]` is an empty list; `parts` are what it holds, each a list as JSON without
    white space.
    """
    import msgspec  # not needed by what shows short texts

    opening = f'\n "{long_entry}": ['
    before, _, after = to_text(document).partition(f"{opening}]")
    yield before + opening
    closing = "]"
    for part in parts:
        # As the only entry of a document the list is indented as it is in the whole one.
        alone = f'{{"{long_entry}":{spelled(part.decode())}}}'
        body = msgspec.json.format(alone, indent=1)
        body = body.removeprefix("{" + opening).removesuffix("\n ]\n}")
        separator = "" if closing == "]" else ","
        yield separator + body.replace(_WORKFLOW_COMMAND, "##\\u005b")
        closing = "\n ]"
    yield closing + after


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
