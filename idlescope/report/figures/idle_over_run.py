"""Idle time in equal parts of each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from idlescope.analysis.idle import activity
from idlescope.report.figures.style import drawn_title, line_legend, line_styles, stacked
from idlescope.report.work_line import WorkLine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 200


def draw(lines: Sequence[WorkLine], subtitle: str) -> Figure:
    """Draw the share of idle time in equal parts of each run."""
    figure, (axis,) = stacked(1, 2.8)
    longest = max(line.result.occupancy.window_ns for line in lines)
    unit, unit_ns = ("seconds", 1e9) if longest >= 1e9 else ("milliseconds", 1e6)
    styles = line_styles(lines)
    for line, style in zip(lines, styles, strict=True):
        occupancy = line.result.occupancy
        edges, percent = activity.idle_over_time(occupancy, BINS)
        times = (edges - edges[0]) / unit_ns
        label = drawn_title(line)
        axis.stairs(percent, times, label=label, baseline=None, **style)
    axis.set_xlabel(f"{unit} from the first operation")
    axis.set_ylabel("idle, %")
    axis.set_xlim(0, longest / unit_ns or None)
    # below 0, so that a run with no idle time is a line to see, not the axis itself
    _, highest = axis.get_ylim()
    axis.set_ylim(-0.02 * highest, None)
    axis.set_title(f"Idle over the run · {subtitle}")
    line_legend(figure, axis)
    return figure
