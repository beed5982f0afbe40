"""How many gaps there are of each length, and how much idle time they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from idlescope.analysis.idle import activity
from idlescope.report.figures.style import drawn_title, line_legend, line_styles, stacked
from idlescope.report.work_line import WorkLine
from idlescope.trace.table import Int64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EDGES_NS = np.logspace(2, 10.5, 52)  # 100 ns to 32 s
TICKS = {
    1e2: "100 ns",
    1e3: "1 µs",
    1e4: "10 µs",
    1e5: "100 µs",
    1e6: "1 ms",
    1e7: "10 ms",
    1e8: "100 ms",
    1e9: "1 s",
    1e10: "10 s",
}
UNITS = (("s", 1e9), ("ms", 1e6), ("µs", 1e3))  # of idle time: name, ns


def draw(lines: Sequence[WorkLine], subtitle: str) -> Figure:
    """Draw gaps by length, on a scale of logarithms: how many above, how long in all below."""
    figure, (count_axis, idle_axis) = stacked(2, 4.4, sharex=True)
    histograms = [
        activity.gap_histogram(work_line.result.gaps, EDGES_NS) for work_line in lines
    ]
    largest = max(float(idle_share.max()) for _, idle_share in histograms)
    unit_name, unit_ns = _unit(largest)
    styles = line_styles(lines)
    for work_line, line_style, (counts, idle_share) in zip(
        lines, styles, histograms, strict=True
    ):
        count_axis.stairs(counts, EDGES_NS, label=drawn_title(work_line), **line_style)
        idle_axis.stairs(idle_share / unit_ns, EDGES_NS, **line_style)
    count_axis.set_yscale("symlog", linthresh=1)
    count_axis.set_ylim(0, None)
    count_axis.set_ylabel("gaps")
    idle_axis.set_ylabel(f"idle in them, {unit_name}")
    _scale_lengths(idle_axis, sum(counts for counts, _ in histograms))
    count_axis.set_title(f"Lengths of idle gaps · {subtitle}")
    line_legend(figure, count_axis)
    return figure


def _unit(largest_ns: float) -> tuple[str, float]:
    """Return the largest unit in which a time is 1 or more, else the smallest."""
    fitting = (unit_row for unit_row in UNITS if largest_ns >= unit_row[1])
    return next(fitting, UNITS[-1])


def _scale_lengths(axis: Axes, counts: Int64 | int) -> None:
    """Show the lengths that any gap has, and a little more."""
    axis.set_xscale("log")
    axis.set_xlabel("length of the gap")
    filled = np.flatnonzero(counts)
    first_bin, last_bin = (
        (filled[0], filled[-1] + 1) if filled.size else (0, len(EDGES_NS) - 1)
    )
    axis.set_xlim(EDGES_NS[first_bin] / 2, EDGES_NS[last_bin] * 2)
    limits = axis.get_xlim()
    axis.set_xticks(list(TICKS), list(TICKS.values()))
    axis.set_xlim(limits)  # which ticks widen
