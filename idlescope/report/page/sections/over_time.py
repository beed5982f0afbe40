"""Idle in equal parts of the run."""

from __future__ import annotations

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
    lines = material.page.lines
    if not lines:
        return None
    longest = max(work_line.result.occupancy.window_ns for work_line in lines)
    unit_name, unit_ns = ("seconds", 1e9) if longest >= 1e9 else ("milliseconds", 1e6)
    x_axis = Axis(f"{unit_name} from the first operation", longest / unit_ns or 1.0)
    parts = [activity.idle_over_time(line.result.occupancy, PARTS) for line in lines]
    highest = max(float(idle_pct.max()) for _, idle_pct in parts)
    y_axis = Axis("idle, %", min(round_up(highest), 100.0))
    plot = Plot(f"Idle in {PARTS} equal parts of the run", x_axis, y_axis, curves=())
    curves = []
    for number, (work_line, (edges, idle_pct)) in enumerate(zip(lines, parts, strict=True)):
        times = ((edges - edges[0]) / unit_ns).tolist()
        places = []
        for begin, end, idle in zip(times[:-1], times[1:], idle_pct.tolist(), strict=True):
            places += [plot.point(begin, idle), plot.point(end, idle)]
        colour, dashes = _look(work_line, number)
        curves.append(Curve(polyline(places), colour, dashes, "", places[-1]))
    keys = [
        (shorten(work_line.title), curve.colour)
        for work_line, curve in zip(lines, curves, strict=True)
    ]
    return {"plot": plot._replace(curves=curves), "entries": keys}


def _look(line: WorkLine, number: int) -> tuple[str, str]:
    """Return the colour and the dashes of a line of work."""
    default_colour = COLOURS[number % len(COLOURS)]
    return MODE.get(line.label, default_colour), DASHES.get(line.label, "none")


SECTION = Section("Idle over the run", fragment_beside(__file__), fill, folded=True)
