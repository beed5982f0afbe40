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
PIXELS = (
    2000  # of the figure's width: shorter gaps between bars are not drawn, they only blur
)
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
    longest_step = max(_step_ns(work_line) for work_line in lines)
    shown_ns = int(STEPS_SHOWN * longest_step)
    unit_name, unit_ns = ("ms", 1e6) if shown_ns >= 1e6 else ("µs", 1e3)
    height = LINE_INCHES * len(lines) + LEGEND_INCHES
    figure, panels = stacked(len(lines), height, sharex=True)
    for panel_axes, work_line in zip(panels, lines, strict=True):
        _draw_line(panel_axes, work_line, shown_ns, unit_ns)
    panels[-1].set_xlabel(f"{unit_name}, from about the middle of the run")
    patch_legend(figure, _legend_entries())
    figure_title(figure, f"CPU and GPU activity · {subtitle}")
    return figure


def _legend_entries() -> list[Patch]:
    states = [
        patch(STATE[gpu_state], STATE_LABELS[gpu_state]) for gpu_state in activity.STATES
    ]
    return [*states, patch(SKY, "GPU copy")]


def _step_ns(line: WorkLine) -> float:
    """Return the mean length of a step."""
    step_count = len(line.result.steps) or STEPS_OF_UNKNOWN
    return line.result.occupancy.window_ns / step_count


def _draw_line(axis: Axes, line: WorkLine, span: int, unit_ns: float) -> None:
    operations, occupancy = line.result.operations, line.result.occupancy
    window_start = activity.typical_moment(operations, occupancy, span)
    time_scale = _TimeScale(window_start, window_start + span, unit_ns)

    # the host and the device each on its own; copies only where nothing computes
    compute = is_compute(operations)
    computing = activity.device_busy(operations.take(compute))
    copying = activity.device_busy(operations.take(~compute))
    only_copying = intervals.subtract(copying, computing)
    host_busy = activity.host_busy(line.trace, line.result.gaps)
    _draw_bars(axis, host_busy, CPU_ROW, ORANGE, time_scale)
    _draw_bars(axis, computing, GPU_ROW, BLUE, time_scale)
    _draw_bars(axis, only_copying, GPU_ROW, SKY, time_scale)

    # both together: idle first, busy over it
    device = activity.device_busy(operations)
    states = activity.states(host_busy, device, time_scale.low, time_scale.high)
    for gpu_state, intervals_shown in reversed(states.items()):
        _draw_bars(axis, intervals_shown, TOGETHER_ROW, STATE[gpu_state], time_scale)

    axis.set_xlim(0, span / unit_ns)
    _name_rows(axis)
    axis.set_title(f"{drawn_title(line)}: GPU idle {line.result.idle_pct:.2f} % of the run")


def _name_rows(axis: Axes) -> None:
    axis.set_yticks([CPU_ROW, GPU_ROW, TOGETHER_ROW], ["CPU", "GPU", "together"])
    axis.set_ylim(-0.5, 2.5)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _draw_bars(
    axis: Axes, busy: Intervals, row: int, color: str, scale: _TimeScale
) -> None:
    clipped = intervals.clip(busy, scale.low, scale.high)
    drawn_bars = intervals.join(clipped, (scale.high - scale.low) // PIXELS)
    bar_start = (drawn_bars.start - scale.low) / scale.unit_ns
    length = drawn_bars.length / scale.unit_ns
    bar_spans = np.column_stack((bar_start, length)).tolist()
    bar_place = (row - BAR_HEIGHT / 2, BAR_HEIGHT)
    axis.broken_barh(bar_spans, bar_place, facecolors=color, linewidth=0)
