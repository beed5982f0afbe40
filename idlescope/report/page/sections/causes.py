"""Idle time by cause, and what the host was doing in its share of it."""

from __future__ import annotations

from typing import Any

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.intervals import percent
from idlescope.analysis.result import DeviceResult
from idlescope.palette import CAUSE
from idlescope.report.page.content import TableRows
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.text import milliseconds, share

MAX_HOST_ROWS = 12
PICTURES = ("causes", "idle", "gaps")


def fill(material: Material) -> FragmentData | None:
    """Return a bar and a table for each line of work; None where no device was seen."""
    if not material.page.lines:
        return None
    line_items = []
    for work_line in material.page.lines:
        result = work_line.result
        idle_text = milliseconds(result.occupancy.idle_ns)
        line_items.append(
            {
                "label": work_line.title,
                "idle": f"{idle_text} idle, {result.idle_pct:.2f} % of the window",
                "parts": _bar(result),
                "host_rows": _host_rows(result),
            }
        )
    pictures = (material.pictures[name] for name in PICTURES)
    return {
        "items": line_items,
        "pictures": [picture for picture in pictures if picture is not None],
    }


def _bar(result: DeviceResult) -> list[dict[str, Any]]:
    """Return the parts of a bar that is 100 wide: all idle time, divided by cause."""
    totals = result.gaps.totals()
    bar_parts = []
    bar_left = 0.0
    for cause_name in CAUSES:
        part_width = percent(totals[cause_name], result.occupancy.idle_ns)
        length = milliseconds(totals[cause_name])
        bar_part = {
            "cause": cause_name,
            "length": length,
            "pct": part_width,
            "left": bar_left,
        }
        bar_parts.append(bar_part | {"colour": CAUSE[cause_name]})
        bar_left += part_width
    return bar_parts


def _host_rows(result: DeviceResult) -> TableRows:
    """Return what the host was in while the device was idle for it, largest first."""
    host_total = result.gaps.totals()["host"]
    largest = list(result.host_ns.items())[:MAX_HOST_ROWS]
    host_rows = [
        (host_part, [milliseconds(duration_ns), share(duration_ns, host_total)])
        for host_part, duration_ns in largest
    ]
    others_ns = host_total - sum(duration_ns for _, duration_ns in largest)
    if others_ns:
        rest_label = f"{len(result.host_ns) - len(largest)} others"
        host_rows.append(
            (rest_label, [milliseconds(others_ns), share(others_ns, host_total)])
        )
    return host_rows


SECTION = Section("Why the GPU was idle", fragment_beside(__file__), fill)
