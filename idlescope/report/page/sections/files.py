"""The files beside the page, and how other tools open the trace."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside


def fill(material: Material) -> FragmentData | None:
    """Return names and commands; None where there are neither."""
    report_page = material.page
    if not report_page.files and not report_page.open_with:
        return None
    return {"files": report_page.files, "open_with": report_page.open_with}


SECTION = Section("Traces and files", fragment_beside(__file__), fill, folded=True)
