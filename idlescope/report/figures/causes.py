"""Idle time by cause, as a share of each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from idlescope.analysis.idle.causes import CAUSES
from idlescope.palette import CAUSE, GROUND
from idlescope.report.figures.style import (
    drawn_title,
    figure_title,
    ink,
    patch,
    patch_legend,
    stacked,
)
from idlescope.report.work_line import WorkLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_SHARE = 0.1  # of the figure's width: a narrower part has no name in it
LABEL_ROOM = 1.2  # the longest bar is so much shorter than the axis: its label has to fit


def draw(lines: Sequence[WorkLine], subtitle: str) -> Figure:
    """Draw idle time by cause, stacked, in per cent of each window."""
    figure, (bar_axes,) = stacked(1, 0.55 * len(lines) + 1.6)
    longest_bar = max(work_line.result.idle_pct for work_line in lines)
    furthest = max(LABEL_ROOM * longest_bar, 0.1)
    named_from = NAMED_SHARE * furthest
    bottom_up = list(reversed(lines))
    for bar_row, work_line in enumerate(bottom_up):
        _draw_bar(bar_axes, bar_row, work_line, named_from)
    titles = [drawn_title(work_line) for work_line in bottom_up]
    bar_axes.set_yticks(range(len(lines)), titles)
    bar_axes.set_ylim(-0.5, len(lines) - 0.5)
    bar_axes.set_xlim(0, furthest)
    bar_axes.set_xlabel("idle, % of the window")
    legend = [patch(CAUSE[cause], cause) for cause in CAUSES]
    patch_legend(figure, legend)
    figure_title(figure, f"Idle by cause · {subtitle}")
    return figure


def _draw_bar(axis: Axes, row: int, line: WorkLine, named_from: float) -> None:
    """Draw one line's causes side by side; those wider than `named_from`, in %, with a name."""
    totals = line.result.gaps.totals()
    window_ns = line.result.occupancy.window_ns or 1
    bar_left = 0.0
    for cause_name in CAUSES:
        bar_color = CAUSE[cause_name]
        bar_width = 100.0 * totals[cause_name] / window_ns
        axis.barh(
            row,
            bar_width,
            left=bar_left,
            color=bar_color,
            height=0.6,
            edgecolor=GROUND,
            linewidth=0.5,
        )
        if bar_width > named_from:
            middle = bar_left + bar_width / 2
            axis.text(
                middle,
                row,
                cause_name,
                ha="center",
                va="center",
                color=ink(bar_color),
                fontsize=8,
            )
        bar_left += bar_width
    axis.text(bar_left, row, f"  {bar_left:.2f} % idle", va="center")
