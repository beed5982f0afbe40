"""Idle in equal parts of the run."""

from __future__ import annotations

from typing import NamedTuple

from idlescope.analysis.idle import activity
from idlescope.palette import GREEN, MODE
from idlescope.report.page.plot import Axis, Curve, Plot, polyline, round_up
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.page.sections.curve import DASHES
from idlescope.report.text import shorten
from idlescope.report.work_line import WorkLine

PARTS = 120
COLOURS = (GREEN, "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#D55E00")


def fill(material: Material) -> FragmentData | None:
    """Return a plot with a curve for each line of work; None where no device was seen."""
    work_lines = material.page.lines
    if not work_lines:
        return None
    longest_ns = max(work_line.result.occupancy.window_ns for work_line in work_lines)
    unit_name, unit_ns = ("seconds", 1e9) if longest_ns >= 1e9 else ("milliseconds", 1e6)
    of_lines = [_idle_parts(work_line, unit_ns) for work_line in work_lines]
    highest = max(max(parts.idle_pct) for parts in of_lines)
    plot = Plot(
        description=f"Idle in {PARTS} equal parts of the run",
        x=Axis(f"{unit_name} from the first operation", longest_ns / unit_ns or 1.0),
        y=Axis("idle, %", min(round_up(highest), 100.0)),
        curves=(),
    )
    curves = [
        _stairs(plot, parts, _look(work_line, line_number))
        for line_number, (work_line, parts) in enumerate(
            zip(work_lines, of_lines, strict=True)
        )
    ]
    titles = [shorten(work_line.title) for work_line in work_lines]
    colours = [curve.colour for curve in curves]
    entries = list(zip(titles, colours, strict=True))
    return {"plot": plot._replace(curves=curves), "entries": entries}


class _IdleParts(NamedTuple):
    """The idle share of each part of a run, %, and where the parts begin and end."""

    edges: list[float]  # one more than parts
    idle_pct: list[float]


class _Look(NamedTuple):
    """How a line of work is drawn."""

    colour: str
    dashes: str


def _idle_parts(line: WorkLine, unit_ns: float) -> _IdleParts:
    edges, idle_pct = activity.idle_over_time(line.result.occupancy, PARTS)
    from_start = (edges - edges[0]) / unit_ns
    return _IdleParts(from_start.tolist(), idle_pct.tolist())


def _stairs(plot: Plot, parts: _IdleParts, look: _Look) -> Curve:
    """Return a line that is level over each part."""
    places = []
    begins, ends = parts.edges[:-1], parts.edges[1:]
    for begin, end, idle_pct in zip(begins, ends, parts.idle_pct, strict=True):
        places += [plot.point(begin, idle_pct), plot.point(end, idle_pct)]
    return Curve(polyline(places), look.colour, look.dashes, "", places[-1])


def _look(line: WorkLine, line_number: int) -> _Look:
    default_colour = COLOURS[line_number % len(COLOURS)]
    colour = MODE.get(line.label, default_colour)
    return _Look(colour, DASHES.get(line.label, "none"))


SECTION = Section("Idle over the run", fragment_beside(__file__), fill, folded=True)
