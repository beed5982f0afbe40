"""How many gaps are how long, and what share of idle they hold, by cause."""

from __future__ import annotations

from idlescope.analysis.idle.causes import CAUSES
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.spread import length_rows
from idlescope.report.text import NOTHING

COLUMNS = ("gaps", "idle", "share of idle", *CAUSES)


def fill(material: Material) -> FragmentData | None:
    """Return a table for each line of work; None where there are no gaps."""
    tables = []
    for line in material.page.lines:
        rows = length_rows(line.result)
        # causes that no gap has are left out
        kept = [
            number
            for number in range(len(COLUMNS))
            if any(cells[number] != NOTHING for _, cells in rows)
        ]
        columns = [COLUMNS[number] for number in kept]
        shown = [(label, [cells[number] for number in kept]) for label, cells in rows]
        if shown:
            tables.append((line.title, columns, shown))
    gaps = sum(len(line.result.gaps) for line in material.page.lines)
    return {"tables": tables, "hint": f"{gaps:,} gaps"} if tables else None


SECTION = Section("Lengths of gaps", fragment_beside(__file__), fill, folded=True)
