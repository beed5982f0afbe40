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
    for work_line in material.page.lines:
        if work_line.result.roofline is not None:
            titles.append(work_line.title)
            rooflines.append(work_line.result.roofline)
    if not rooflines:
        return None
    roofline_rows = [
        (row_label, [f"{getattr(roofline, attribute):.1f} %" for roofline in rooflines])
        for row_label, attribute in ROWS
    ]
    sentences = [
        f"{line_title}: {roofline.text()}"
        for line_title, roofline in zip(titles, rooflines, strict=True)
    ]
    return {"columns": titles, "rows": roofline_rows, "sentences": sentences}


SECTION = Section(
    "Roofline: active is not the same as useful",
    fragment_beside(__file__),
    fill,
    folded=True,
)
