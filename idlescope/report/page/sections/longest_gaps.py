"""The longest gaps of each line of work, and what the host was in meanwhile."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.gaps import gap_cells

MAX_STACK_NAMES = 40  # innermost


def fill(material: Material) -> FragmentData | None:
    """Return a table for each line of work; None where no device was seen."""
    items = []
    for line in material.page.lines:
        longest = line.result.longest
        rows = [gap_cells(line.result, gap, MAX_STACK_NAMES) for gap in longest]
        items.append({"label": line.title, "rows": rows})
    return {"items": items} if items else None


SECTION = Section("The ten longest gaps", fragment_beside(__file__), fill)
