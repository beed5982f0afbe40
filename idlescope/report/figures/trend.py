"""Figures over commits: each commit, the best level and the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from idlescope.analysis.history.trend import Trend, TrendKind, level_length
from idlescope.palette import BLUE, GREY, VERMILION
from idlescope.report.figures.style import MAX_LABEL_CHARACTERS, drawn_text, stacked, styled
from idlescope.report.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 8
PANEL_INCHES = 1.9
MOST_TICKS = 10
SHORT_COMMIT = 7
ROOM_ABOVE = 1.08  # the largest figure


def draw(trends: Sequence[Trend]) -> Figure:
    """Draw a panel for each trend, the commits along the bottom."""
    shown = trends[:MOST_PANELS]
    rows = max(len(shown), 1)
    with styled():
        figure, panels = stacked(rows, PANEL_INCHES * rows + 0.6)
        for axis, trend in zip(panels, shown, strict=False):
            _draw(axis, trend)
    return figure


def _draw(axis: Axes, trend: Trend) -> None:
    commits = np.arange(len(trend.commits))
    worse = trend.kind in (TrendKind.CREEP, TrendKind.JUMP)
    colour = VERMILION if worse else BLUE
    axis.plot(commits, trend.values, marker="o", markersize=2.5, linewidth=1, color=colour)
    axis.axhline(trend.best, color=GREY, linewidth=1, linestyle="--")
    if commits.size:
        last = commits[-level_length(commits.size) :]
        axis.hlines(trend.last, last[0], last[-1], color=colour, linewidth=2)
        ticks = commits[:: max(1, commits.size // MOST_TICKS)]
        labels = [drawn_text(trend.commits[row][:SHORT_COMMIT]) for row in ticks.tolist()]
        axis.set_xticks(ticks, labels, fontsize=6)
    most = max(float(trend.values.max(initial=0.0)), trend.last)
    axis.set_ylim(0, ROOM_ABOVE * most or 1.0)
    axis.set_ylabel(f"{trend.figure.name}, {trend.figure.unit}")
    subject = drawn_text(shorten(trend.subject, MAX_LABEL_CHARACTERS))
    axis.set_title(f"{subject}: {trend.kind}; dashed: the best level")
