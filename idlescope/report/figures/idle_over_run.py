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
    figure, (curve_axes,) = stacked(1, 2.8)
    longest = max(work_line.result.occupancy.window_ns for work_line in lines)
    unit_name, unit_ns = ("seconds", 1e9) if longest >= 1e9 else ("milliseconds", 1e6)
    styles = line_styles(lines)
    for work_line, line_style in zip(lines, styles, strict=True):
        occupancy = work_line.result.occupancy
        bin_edges, idle_percent = activity.idle_over_time(occupancy, BINS)
        bin_times = (bin_edges - bin_edges[0]) / unit_ns
        line_label = drawn_title(work_line)
        curve_axes.stairs(
            idle_percent, bin_times, label=line_label, baseline=None, **line_style
        )
    curve_axes.set_xlabel(f"{unit_name} from the first operation")
    curve_axes.set_ylabel("idle, %")
    curve_axes.set_xlim(0, longest / unit_ns or None)
    # below 0, so that a run with no idle time is a line to see, not the axis itself
    _, highest = curve_axes.get_ylim()
    curve_axes.set_ylim(-0.02 * highest, None)
    curve_axes.set_title(f"Idle over the run · {subtitle}")
    line_legend(figure, curve_axes)
    return figure
