"""The ranks of a job side by side: idle, communication, waiting, batching."""

from __future__ import annotations

from idlescope.report.page.rank_lanes import MOST_UNFOLDED
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.ranks import COLUMNS, ranks_rows, verdict_lines


def fill(material: Material) -> FragmentData | None:
    """Return a row for each rank; None where there is one device only."""
    group = material.page.group
    if group is None:
        return None
    rows = ranks_rows(group)
    _, *further = verdict_lines(group)
    return {
        "columns": COLUMNS,
        "rows": rows[:MOST_UNFOLDED],
        "folded": rows[MOST_UNFOLDED:],
        "parallel": group.parallel,
        "further": further,
    }


SECTION = Section("Ranks", fragment_beside(__file__), fill)
