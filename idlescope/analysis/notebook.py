"""How results show themselves in a notebook: the verdict, a small table, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def shown(
    verdict: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Iterable[str] = (),
) -> str:
    """Return HTML of texts, which are escaped; the first cell of a row is its name."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    paragraphs = "".join(f"<p>{escape(note)}</p>" for note in notes)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p><b>{escape(verdict)}</b></p>{table}{paragraphs}"


def _cells(row: Sequence[str]) -> str:
    name, *cells = row
    figures = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<th>{escape(name)}</th>{figures}"
