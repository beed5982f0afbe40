"""How to get this page again: the command, and where it ran."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside


def fill(material: Material) -> FragmentData | None:
    """Return the command and the versions of what it ran on."""
    report_page = material.page
    return {"command": report_page.command, "environment": report_page.environment}


SECTION = Section("How to reproduce", fragment_beside(__file__), fill, folded=True)
