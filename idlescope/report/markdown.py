"""Markdown for a pull request: text from traces stands in it as it is, and mentions, links and formats nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from idlescope.report.text import encodable, visible

_FORMAT = re.compile(r"([\\`*_\[\]#|~$])")


def escaped(text: str) -> str:
    """Return text that Markdown shows as it stands."""
    text = encodable(visible(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _FORMAT.sub(r"\\\1", text).replace("@", "&#64;")


def section(
    heading: str, says: str, intro: Sequence[str], columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str], bool]], notes: Sequence[str],
) -> str:  # fmt: skip
    """Return a section: what it says, a table of named rows of which some are bold, and notes."""
    lines = [
        f"### idlescope{': ' + escaped(heading) if heading else ''}",
        "",
        f"**{escaped(says)}**",
        "",
    ]
    lines += [f"- {escaped(line)}" for line in intro]
    lines += [
        "",
        "| | " + " | ".join(map(escaped, columns)) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for name, cells, bold in rows:
        mark = "**" if bold else ""
        lines.append(
            "| " + " | ".join(f"{mark}{escaped(cell)}{mark}" for cell in (name, *cells)) + " |"
        )
    lines += ["", *(f"- {escaped(note)}" for note in notes), ""]
    return "\n".join(lines)
