"""What the words of the page mean."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside


def fill(material: Material) -> FragmentData | None:
    """Return whether the words of latency figures are among them."""
    return {"latencies": material.page.latencies}


SECTION = Section("What the numbers mean", fragment_beside(__file__), fill, folded=True)
