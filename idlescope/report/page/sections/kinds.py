"""What steps of each kind cost: prefill, decode, mixed and empty ones."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.spread import KIND_COLUMNS, kind_rows


def fill(material: Material) -> FragmentData | None:
    """Return a table for each line of work; None where no line has several kinds of steps."""
    tables = [(line.title, kind_rows(line.result)) for line in material.page.lines]
    tables = [(title, rows) for title, rows in tables if rows]
    if not tables:
        return None
    kinds = dict.fromkeys(label for _, rows in tables for label, _ in rows)
    return {
        "columns": KIND_COLUMNS,
        "tables": tables,
        "hint": f"{', '.join(kinds)}; means per step",
    }


SECTION = Section("Steps by kind", fragment_beside(__file__), fill, folded=True)
