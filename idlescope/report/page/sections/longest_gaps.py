"""The longest gaps of each line of work, and what the host was in meanwhile."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.gaps import gap_cells

MAX_STACK_NAMES = 40  # innermost


def fill(material: Material) -> FragmentData | None:
    """Return a table for each line of work; None where no device was seen."""
    line_items = []
    for work_line in material.page.lines:
        longest = work_line.result.longest
        gap_rows = [
            gap_cells(work_line.result, longest_gap, MAX_STACK_NAMES)
            for longest_gap in longest
        ]
        line_items.append({"label": work_line.title, "rows": gap_rows})
    return {"items": line_items} if line_items else None


SECTION = Section("The ten longest gaps", fragment_beside(__file__), fill, folded=True)
