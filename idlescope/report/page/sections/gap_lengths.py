"""How many gaps are how long, and what share of idle they hold, by cause."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.spread import length_columns, length_rows


def fill(material: Material) -> FragmentData | None:
    """Return a table for each line of work; None where there are no gaps."""
    tables = []
    for line in material.page.lines:
        rows = length_rows(line.result)
        if rows:
            tables.append((line.title, length_columns(line.result), rows))
    gaps = sum(len(line.result.gaps) for line in material.page.lines)
    return {"tables": tables, "hint": f"{gaps:,} gaps"} if tables else None


SECTION = Section("Lengths of gaps", fragment_beside(__file__), fill, folded=True)
