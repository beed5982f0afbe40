"""Every cell of a sweep in each mode."""

from __future__ import annotations

from typing import Any

from idlescope.experiment.cells import CellState
from idlescope.palette import MODE_TITLES
from idlescope.report.page.section import FragmentData, Section, fragment_beside
from idlescope.report.text import NOTHING

COLUMNS = {  # heading: key of a row, format
    "batch": ("batch_size", "{}"),
    "host, ms": ("host_ms_per_step", "{:.3f}"),
    "device, ms": ("device_ms_per_step", "{:.3f}"),
    "idle, ms": ("idle_ms_per_step", "{:.3f}"),
    "idle, %": ("idle_pct", "{:.2f}"),
    "tokens/s": ("tokens_per_s", "{:,.0f}"),
    "roofline, %": ("roofline_pct", "{:.1f}"),
    "times faster": ("speedup", "{:.3f}"),
}


def fill(document: dict[str, Any]) -> FragmentData | None:
    """Return a row for each cell and mode; None where there are none."""
    rows = [
        (
            row["model"],
            row["device_name"] or row["device"],
            MODE_TITLES[row["mode"]],
            [_cell(row[key], form) for key, form in COLUMNS.values()],
            "" if row["state"] == CellState.DONE else f"{row['state']}: {row['reason']}",
        )
        for row in document["rows"]
    ]
    if not rows:
        return None
    hint = f"{len(rows)} rows; times are per step"
    return {"columns": list(COLUMNS), "rows": rows, "hint": hint}


def _cell(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)


SECTION = Section("All cells", fragment_beside(__file__), fill, folded=True)
