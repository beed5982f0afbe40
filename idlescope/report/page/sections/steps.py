"""The table of every step, which the page's script fills from the columns of the timeline."""

from __future__ import annotations

from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside

COLUMNS = (  # key in the script, label
    ("number", "step"),
    ("host", "host work"),
    ("device", "device work"),
    ("idle", "idle exposed"),
    ("operations", "operations"),
    ("early", "launched before the previous ended"),
)


def fill(material: Material) -> FragmentData | None:
    """Return the columns; None where no step was found."""
    counts = dict.fromkeys(len(line.result.steps) for line in material.page.lines)
    if not any(counts):
        return None
    return {
        "columns": COLUMNS,
        "hint": f"{' and '.join(f'{count:,}' for count in counts)} steps",
    }


SECTION = Section("Every step", fragment_beside(__file__), fill, folded=True)
