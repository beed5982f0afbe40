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
    items = []
    for line in material.page.lines:
        result = line.result
        idle = milliseconds(result.occupancy.idle_ns)
        items.append(
            {
                "label": line.title,
                "idle": f"{idle} idle, {result.idle_pct:.2f} % of the window",
                "parts": _bar(result),
                "host_rows": _host_rows(result),
            }
        )
    pictures = (material.pictures[name] for name in PICTURES)
    return {"items": items, "pictures": [picture for picture in pictures if picture is not None]}


def _bar(result: DeviceResult) -> list[dict[str, Any]]:
    """Return the parts of a bar that is 100 wide: all idle time, divided by cause."""
    totals = result.gaps.totals()
    parts = []
    left = 0.0
    for cause in CAUSES:
        width = percent(totals[cause], result.occupancy.idle_ns)
        length = milliseconds(totals[cause])
        part = {"cause": cause, "length": length, "pct": width, "left": left}
        parts.append(part | {"colour": CAUSE[cause]})
        left += width
    return parts


def _host_rows(result: DeviceResult) -> TableRows:
    """Return what the host was in while the device was idle for it, largest first."""
    host_total = result.gaps.totals()["host"]
    largest = list(result.host_ns.items())[:MAX_HOST_ROWS]
    rows = [(name, [milliseconds(ns), share(ns, host_total)]) for name, ns in largest]
    others_ns = host_total - sum(ns for _, ns in largest)
    if others_ns:
        label = f"{len(result.host_ns) - len(largest)} others"
        rows.append((label, [milliseconds(others_ns), share(others_ns, host_total)]))
    return rows


SECTION = Section("Why the GPU was idle", fragment_beside(__file__), fill)
