"""How near the work of the steps came to what the GPU could do."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside

ROWS = (  # label, attribute of Roofline
    ("active", "active_pct"),
    ("roofline, of the time of steps", "roofline_pct"),
    ("roofline, while active", "active_roofline_pct"),
    ("bandwidth used", "bandwidth_pct"),
    ("compute used", "compute_pct"),
)


def fill(material: Material) -> FragmentData | None:
    """Return a table and sentences; None where neither GPU nor work is known."""
    titles, rooflines = [], []
    for line in material.page.lines:
        if line.result.roofline is not None:
            titles.append(line.title)
            rooflines.append(line.result.roofline)
    if not rooflines:
        return None
    rows = [
        (label, [f"{getattr(roofline, attribute):.1f} %" for roofline in rooflines])
        for label, attribute in ROWS
    ]
    sentences = [
        f"{title}: {roofline.text()}" for title, roofline in zip(titles, rooflines, strict=True)
    ]
    return {"columns": titles, "rows": rows, "sentences": sentences}


SECTION = Section("Roofline: active is not the same as useful", fragment_beside(__file__), fill)
