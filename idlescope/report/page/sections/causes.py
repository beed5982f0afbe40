"""Idle time by cause: one chart on the scale of the window, and what the host was doing in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.demand import causes_apart
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.intervals import percent
from idlescope.analysis.result import DeviceResult
from idlescope.palette import CAUSE, WITHOUT_DEMAND
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.tables.devices import largest_host_parts
from idlescope.report.text import NOTHING, milliseconds, shorten
from idlescope.report.work_line import WorkLine

AXIS = (0, 25, 50, 75, 100)  # % of the window


class CauseRow(NamedTuple):
    """A cause, or what the host was in during its share."""

    label: str
    colour: str  # empty for what the bar does not tell apart
    cells: list[tuple[str, str]]  # time, share of the window
    is_part: bool = False  # of the host's share


def fill(material: Material) -> FragmentData | None:
    """Return a bar for each line of work, and a table of all; None where no device was seen."""
    lines = material.page.lines
    if not lines:
        return None
    return {
        "bars": [
            (work_line.title, _idle_text(work_line.result), _bar(work_line.result))
            for work_line in lines
        ],
        "axis": AXIS,
        "columns": [work_line.title for work_line in lines],
        "rows": list(_rows(lines)),
        "per_step": all(len(work_line.result.steps) for work_line in lines),
    }


def _idle_text(result: DeviceResult) -> str:
    return f"{result.idle_pct:.2f} % idle"


def _bar(result: DeviceResult) -> list[dict[str, Any]]:
    """Return the parts of a bar: each cause as a share of the window, in %."""
    bar_parts = []
    bar_left = 0.0
    for part_colour, part_ns in _parts(result):
        part_width = percent(part_ns, result.occupancy.window_ns)
        bar_parts.append({"left": bar_left, "width": part_width, "colour": part_colour})
        bar_left += part_width
    return bar_parts


def _parts(result: DeviceResult) -> list[tuple[str, int]]:
    """Return each cause's colour and time, ns; what no request was there for is told apart."""
    totals = causes_apart(result.gaps, result.host_ns)
    of_causes = [(CAUSE[cause_name], totals[cause_name]) for cause_name in CAUSES]
    return [*of_causes, (WITHOUT_DEMAND, totals[NO_DEMAND])]


def _rows(lines: Sequence[WorkLine]) -> Iterator[CauseRow]:
    """Yield the causes that any line has, `host` with what it is made of."""
    results = [work_line.result for work_line in lines]
    for cause_name in CAUSES:
        totals = [result.gaps.totals()[cause_name] for result in results]
        if not any(totals):
            continue
        yield CauseRow(cause_name, CAUSE[cause_name], list(map(_cell, results, totals)))
        if cause_name != "host":
            continue
        for part_name in largest_host_parts(results):
            part_ns = [result.host_ns.get(part_name, 0) for result in results]
            part_colour = WITHOUT_DEMAND if part_name == NO_DEMAND else ""
            part_cells = list(map(_cell, results, part_ns))
            yield CauseRow(shorten(part_name), part_colour, part_cells, is_part=True)


def _cell(result: DeviceResult, ns: int) -> tuple[str, str]:
    """Return a part of idle: per step where there are steps, and as a share of the window."""
    if not ns:
        return NOTHING, ""
    per_step = ns / (len(result.steps) or 1)
    return milliseconds(per_step), f"{percent(ns, result.occupancy.window_ns):.2f} %"


SECTION = Section("Why the GPU was idle", fragment_beside(__file__), fill)
