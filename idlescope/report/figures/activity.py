"""When the CPU and the GPU were busy in the middle of each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle import activity
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.intervals import Intervals
from idlescope.palette import BLUE, ORANGE, SKY, STATE
from idlescope.report.figures.style import (
    drawn_title,
    figure_title,
    patch,
    patch_legend,
    stacked,
)
from idlescope.report.work_line import WorkLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

STEPS_SHOWN = 4.5
STEPS_OF_UNKNOWN = 50  # a window without steps is shown as if it had so many
PIXELS = 2000  # of the figure's width: shorter gaps between bars are not drawn, they only blur
STATE_LABELS = {
    "both busy": "both busy",
    "device only": "GPU busy",
    "host only": "CPU busy",
    "neither": "both idle",
}
CPU_ROW, GPU_ROW, TOGETHER_ROW = 2, 1, 0
BAR_HEIGHT = 0.8
LINE_INCHES, LEGEND_INCHES = 1.55, 1.0  # heights


class _TimeScale(NamedTuple):
    """The stretch of time that an axis shows, and the unit of its numbers."""

    low: int  # ns
    high: int
    unit_ns: float


def draw(lines: Sequence[WorkLine], subtitle: str) -> Figure:
    """Draw when the CPU and the GPU were busy, all lines on one time scale."""
    longest_step = max(_step_ns(line) for line in lines)
    span = int(STEPS_SHOWN * longest_step)
    unit, unit_ns = ("ms", 1e6) if span >= 1e6 else ("µs", 1e3)
    height = LINE_INCHES * len(lines) + LEGEND_INCHES
    figure, axes = stacked(len(lines), height, sharex=True)
    for axis, line in zip(axes, lines, strict=True):
        _draw_line(axis, line, span, unit_ns)
    axes[-1].set_xlabel(f"{unit}, from about the middle of the run")
    patch_legend(figure, _legend_entries())
    figure_title(figure, f"CPU and GPU activity · {subtitle}")
    return figure


def _legend_entries() -> list[Patch]:
    states = [patch(STATE[state], STATE_LABELS[state]) for state in activity.STATES]
    return [*states, patch(SKY, "GPU copy")]


def _step_ns(line: WorkLine) -> float:
    """Return the mean length of a step."""
    steps = len(line.result.steps) or STEPS_OF_UNKNOWN
    return line.result.occupancy.window_ns / steps


def _draw_line(axis: Axes, line: WorkLine, span: int, unit_ns: float) -> None:
    operations, occupancy = line.result.operations, line.result.occupancy
    low = activity.typical_moment(operations, occupancy, span)
    scale = _TimeScale(low, low + span, unit_ns)

    # the host and the device each on its own; copies only where nothing computes
    compute = is_compute(operations)
    computing = activity.device_busy(operations.take(compute))
    copying = activity.device_busy(operations.take(~compute))
    only_copying = intervals.subtract(copying, computing)
    host = activity.host_busy(line.trace, line.result.gaps)
    _draw_bars(axis, host, CPU_ROW, ORANGE, scale)
    _draw_bars(axis, computing, GPU_ROW, BLUE, scale)
    _draw_bars(axis, only_copying, GPU_ROW, SKY, scale)

    # both together: idle first, busy over it
    device = activity.device_busy(operations)
    states = activity.states(host, device, scale.low, scale.high)
    for state, parts in reversed(states.items()):
        _draw_bars(axis, parts, TOGETHER_ROW, STATE[state], scale)

    axis.set_xlim(0, span / unit_ns)
    _name_rows(axis)
    axis.set_title(f"{drawn_title(line)}: GPU idle {line.result.idle_pct:.2f} % of the run")


def _name_rows(axis: Axes) -> None:
    axis.set_yticks([CPU_ROW, GPU_ROW, TOGETHER_ROW], ["CPU", "GPU", "together"])
    axis.set_ylim(-0.5, 2.5)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _draw_bars(axis: Axes, busy: Intervals, row: int, color: str, scale: _TimeScale) -> None:
    clipped = intervals.clip(busy, scale.low, scale.high)
    bars = intervals.join(clipped, (scale.high - scale.low) // PIXELS)
    start = (bars.start - scale.low) / scale.unit_ns
    length = bars.length / scale.unit_ns
    spans = np.column_stack((start, length)).tolist()
    place = (row - BAR_HEIGHT / 2, BAR_HEIGHT)
    axis.broken_barh(spans, place, facecolors=color, linewidth=0)
