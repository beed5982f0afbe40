"""The main table: the figures of every mode or device, side by side."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside


def fill(material: Material) -> FragmentData | None:
    """Return the main table."""
    report_page = material.page
    return {"columns": report_page.columns, "rows": report_page.rows}


SECTION = Section("All figures", fragment_beside(__file__), fill, folded=True)
