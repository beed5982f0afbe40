"""Further figures of a comparison, which overlap with the parts."""

from __future__ import annotations

from idlescope.report.page.comparison.changes import title_of
from idlescope.report.page.section import FragmentData, Section, fragment_beside
from idlescope.report.tables.comparison import MARK, Comparisons, change_rows, columns


def fill(comparisons: Comparisons) -> FragmentData | None:
    """Return a table for each comparison that has further figures; None where none has."""
    tables = []
    for mode, several in comparisons.items():
        for comparison in several:
            _, _, further = change_rows(comparison)
            rows = [
                (f"{change.name} {MARK if change.different else ''}".strip(), cells[:-1])
                for change, cells in further
            ]
            if rows:
                tables.append((title_of(mode, comparison), columns(comparison)[:-1], rows))
    return {"tables": tables} if tables else None


SECTION = Section("Further figures", fragment_beside(__file__), fill, folded=True)
