"""What host work costs: idle time predicted over host work, with measured points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from idlescope.analysis.prediction.curve import HostCost
from idlescope.analysis.prediction.published import Point
from idlescope.palette import GREEN, GREY, MODE
from idlescope.report.figures.style import (
    MAX_LABEL_CHARACTERS,
    MODE_DASHES,
    drawn_text,
    stacked,
)
from idlescope.report.text import shorten
from idlescope.report.work_line import MODE_TITLES
from idlescope.trace.names.own_engine import DEPTHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MODE_OF_DEPTH = {depth: mode for mode, depth in DEPTHS.items()}
PUBLISHED_SHAPES = "sD^vP*"  # markers of measured engines
OWN_SIZE, PUBLISHED_SIZE = 10.0, 7.0  # of markers
REMARK_COLOR = "#666666"
Marks = tuple[Any, ...]  # the markers of one line of the legend


def draw(cost: HostCost, subtitle: str) -> Figure:
    """Draw curves of the replayed steps, and measured points with their sources."""
    from matplotlib.legend_handler import HandlerTuple

    engines = list(dict.fromkeys(point.name for point in cost.published))
    legend_lines = len(cost.measured) + len(engines)
    figure, (axis,) = stacked(1, 3.9 + 0.17 * legend_lines)
    _draw_curves(axis, cost)
    _draw_device_time(axis, cost.device_ms)
    legend = _draw_own_points(axis, cost) + _draw_published(axis, cost.published, engines)
    axis.set_xlim(0, cost.curves[0].host_ms[-1])
    axis.set_ylim(-3, None)
    axis.set_xlabel("host work, ms per step")
    axis.set_ylabel("compute idle, % after the first step")
    axis.set_title(f"What host work costs · {subtitle}")
    marks, texts = zip(*legend, strict=True)
    figure.legend(
        marks,
        texts,
        loc="outside lower left",
        fontsize=7.5,
        borderpad=0.2,
        handler_map={tuple: HandlerTuple(ndivide=None)},
        handlelength=2.4,
    )
    return figure


def _draw_curves(axis: Axes, cost: HostCost) -> None:
    """Draw a curve for each mode, with its name at the end."""
    for curve in cost.curves:
        mode = MODE_OF_DEPTH[curve.depth]
        color, dash = MODE[mode], MODE_DASHES[mode]
        axis.plot(curve.host_ms, curve.idle_pct, color=color, linestyle=dash, linewidth=1.6)
        end = (float(curve.host_ms[-1]), float(curve.idle_pct[-1]))
        axis.annotate(
            MODE_TITLES[mode],
            xy=end,
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=color,
        )


def _draw_device_time(axis: Axes, device_ms: float) -> None:
    """Draw where host work takes as long as the device: from there on it cannot be hidden."""
    axis.axvline(device_ms, color=GREY, linewidth=0.8, zorder=1)
    axis.annotate(
        f"device: {device_ms:.3g} ms per step",
        xy=(device_ms, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        color=REMARK_COLOR,
    )


def _draw_own_points(axis: Axes, cost: HostCost) -> list[tuple[Marks, str]]:
    """Draw the points of this run or trace; return their lines of the legend."""
    legend = []
    for point in cost.measured:
        marks = _draw_points(axis, [point], "o", OWN_SIZE)
        legend.append((marks, _own_text(point, replayed=point.name == cost.replayed)))
    return legend


def _own_text(point: Point, replayed: bool) -> str:
    title = MODE_TITLES.get(point.name, point.name)
    name = drawn_text(shorten(title, MAX_LABEL_CHARACTERS))
    source = "run" if point.mode else "trace"
    text = f"this {source}, {name}: {point.host_ms:.3g} ms, {point.idle_pct:.2f} % idle"
    if replayed:
        text += "; the curves are its steps replayed with more and less host work"
    return text


def _draw_published(
    axis: Axes, published: Sequence[Point], engines: Sequence[str]
) -> list[tuple[Marks, str]]:
    """Draw points of other engines; return their lines of the legend, which name the source."""
    legend = []
    for engine, shape in zip(engines, PUBLISHED_SHAPES, strict=False):
        points = [point for point in published if point.name == engine]
        device_times = " and ".join(f"{point.device_ms:.1f}" for point in points)
        text = f"{engine}: device {device_times} ms per step ({points[0].source})"
        legend.append((_draw_points(axis, points, shape, PUBLISHED_SIZE), text))
    return legend


def _draw_points(axis: Axes, points: Sequence[Point], shape: str, size: float) -> Marks:
    """Draw points, asynchronous ones hollow; return their markers."""
    marks: list[Line2D] = []
    for point in points:
        color = MODE.get(point.mode, GREEN)
        face, edge = ("white", color) if point.mode == "async" else (color, "white")
        marks += axis.plot(
            point.host_ms,
            point.idle_pct,
            linestyle="none",
            marker=shape,
            markersize=size,
            markerfacecolor=face,
            markeredgecolor=edge,
            clip_on=False,
            zorder=4 - size / 10,  # small ones over large ones
        )
    return tuple(marks)
