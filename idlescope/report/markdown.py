"""Markdown for a pull request: text from traces stands in it as it is, and has no effect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from idlescope.report.text import visible
from idlescope.trace.unseen import encodable

_FORMATTING = re.compile(r"([\\`*_\[\]#|~$])")


def escaped(text: str) -> str:
    """Return text that Markdown shows as it stands: it mentions, links and formats nothing."""
    text = encodable(visible(text))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _FORMATTING.sub(r"\\\1", text).replace("@", "&#64;")


class MarkdownRow(NamedTuple):
    """A row of a section's table."""

    name: str
    cells: Sequence[str]
    bold: bool

    def to_text(self) -> str:
        """Return the row as Markdown."""
        bold_mark = "**" if self.bold else ""
        escaped_cells = (
            f"{bold_mark}{escaped(cell)}{bold_mark}" for cell in (self.name, *self.cells)
        )
        return f"| {' | '.join(escaped_cells)} |"


@dataclass(frozen=True)
class MarkdownSection:
    """What a section says, a table, and notes."""

    heading: str  # behind "idlescope", may be empty
    verdict: str
    intro: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[MarkdownRow]
    notes: Sequence[str]

    def to_text(self) -> str:
        """Return the section as Markdown."""
        heading = f": {escaped(self.heading)}" if self.heading else ""
        columns = " | ".join(map(escaped, self.columns))
        text_lines = [
            f"### idlescope{heading}",
            "",
            f"**{escaped(self.verdict)}**",
            "",
            *(f"- {escaped(intro_line)}" for intro_line in self.intro),
            "",
            f"| | {columns} |",
            "|---|" + "---:|" * len(self.columns),
            *(row.to_text() for row in self.rows),
            "",
            *(f"- {escaped(side_note)}" for side_note in self.notes),
            "",
        ]
        return "\n".join(text_lines)
