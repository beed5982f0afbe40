"""Idle time by cause, as a share of each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from idlescope.analysis.idle.causes import CAUSES
from idlescope.palette import CAUSE
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
    figure, (axis,) = stacked(1, 0.55 * len(lines) + 1.6)
    longest_bar = max(line.result.idle_pct for line in lines)
    furthest = max(LABEL_ROOM * longest_bar, 0.1)
    named_from = NAMED_SHARE * furthest
    bottom_up = list(reversed(lines))
    for row, line in enumerate(bottom_up):
        _draw_bar(axis, row, line, named_from)
    titles = [drawn_title(line) for line in bottom_up]
    axis.set_yticks(range(len(lines)), titles)
    axis.set_ylim(-0.5, len(lines) - 0.5)
    axis.set_xlim(0, furthest)
    axis.set_xlabel("idle, % of the window")
    legend = [patch(CAUSE[cause], cause) for cause in CAUSES]
    patch_legend(figure, legend)
    figure_title(figure, f"Idle by cause · {subtitle}")
    return figure


def _draw_bar(axis: Axes, row: int, line: WorkLine, named_from: float) -> None:
    """Draw one line's causes side by side; those wider than `named_from`, in %, with a name."""
    totals = line.result.gaps.totals()
    window_ns = line.result.occupancy.window_ns or 1
    left = 0.0
    for cause in CAUSES:
        color = CAUSE[cause]
        width = 100.0 * totals[cause] / window_ns
        axis.barh(row, width, left=left, color=color, height=0.6, edgecolor="white", linewidth=0.5)
        if width > named_from:
            middle = left + width / 2
            axis.text(middle, row, cause, ha="center", va="center", color=ink(color), fontsize=8)
        left += width
    axis.text(left, row, f"  {left:.2f} % idle", va="center")
