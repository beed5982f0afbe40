"""What a reader has to know before the figures."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside


def fill(material: Material) -> FragmentData | None:
    """Return the warnings; None where there are none."""
    warnings = material.page.warnings
    return {"warnings": warnings} if warnings else None


SECTION = Section("Read this first", fragment_beside(__file__), fill)
