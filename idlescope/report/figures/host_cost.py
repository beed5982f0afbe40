"""What host work costs: idle time predicted over host work, with measured points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from idlescope.analysis.prediction.curve import HostCost
from idlescope.analysis.prediction.published import Point
from idlescope.palette import GREEN, GREY, GROUND, MODE, MODE_TITLES, REMARK
from idlescope.report.figures.style import (
    MAX_LABEL_CHARACTERS,
    MODE_DASHES,
    drawn_text,
    stacked,
)
from idlescope.report.text import shorten
from idlescope.trace.names.own_engine import DEPTHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MODE_OF_DEPTH = {depth: mode for mode, depth in DEPTHS.items()}
PUBLISHED_SHAPES = "sD^vP*"  # markers of measured engines
OWN_SIZE, PUBLISHED_SIZE = 10.0, 7.0  # of markers
Marks = tuple[Any, ...]  # the markers of one line of the legend


def draw(cost: HostCost, subtitle: str) -> Figure:
    """Draw curves of the replayed steps, and measured points with their sources."""
    from matplotlib.legend_handler import HandlerTuple

    engines = list(dict.fromkeys(point.name for point in cost.published))
    legend_lines = len(cost.measured) + len(engines)
    figure, (curve_axes,) = stacked(1, 3.9 + 0.17 * legend_lines)
    _draw_curves(curve_axes, cost)
    _draw_device_time(curve_axes, cost.device_ms)
    legend = _draw_own_points(curve_axes, cost) + _draw_published(
        curve_axes, cost.published, engines
    )
    curve_axes.set_xlim(0, cost.curves[0].host_ms[-1])
    curve_axes.set_ylim(-3, None)
    curve_axes.set_xlabel("host work, ms per step")
    curve_axes.set_ylabel("compute idle, % after the first step")
    curve_axes.set_title(f"What host work costs · {subtitle}")
    legend_marks, legend_texts = zip(*legend, strict=True)
    figure.legend(
        legend_marks,
        legend_texts,
        loc="outside lower left",
        fontsize=7.5,
        borderpad=0.2,
        handler_map={tuple: HandlerTuple(ndivide=None)},
        handlelength=2.4,
    )
    return figure


def _draw_curves(axis: Axes, cost: HostCost) -> None:
    """Draw a curve for each mode, with its name at the end."""
    for idle_curve in cost.curves:
        mode_name = MODE_OF_DEPTH[idle_curve.depth]
        line_color, line_dashes = MODE[mode_name], MODE_DASHES[mode_name]
        axis.plot(
            idle_curve.host_ms,
            idle_curve.idle_pct,
            color=line_color,
            linestyle=line_dashes,
            linewidth=1.6,
        )
        curve_end = (float(idle_curve.host_ms[-1]), float(idle_curve.idle_pct[-1]))
        axis.annotate(
            MODE_TITLES[mode_name],
            xy=curve_end,
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=line_color,
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
        color=REMARK,
    )


def _draw_own_points(axis: Axes, cost: HostCost) -> list[tuple[Marks, str]]:
    """Draw the points of this run or trace; return their lines of the legend."""
    legend = []
    for own_point in cost.measured:
        point_marks = _draw_points(axis, [own_point], "o", OWN_SIZE)
        legend.append(
            (point_marks, _own_text(own_point, replayed=own_point.name == cost.replayed))
        )
    return legend


def _own_text(point: Point, replayed: bool) -> str:
    mode_title = MODE_TITLES.get(point.name, point.name)
    shown_name = drawn_text(shorten(mode_title, MAX_LABEL_CHARACTERS))
    source = "run" if point.mode else "trace"
    legend_text = (
        f"this {source}, {shown_name}: {point.host_ms:.3g} ms, {point.idle_pct:.2f} % idle"
    )
    if replayed:
        legend_text += "; the curves are its steps replayed with more and less host work"
    return legend_text


def _draw_published(
    axis: Axes, published: Sequence[Point], engines: Sequence[str]
) -> list[tuple[Marks, str]]:
    """Draw points of other engines; return their lines of the legend, which name the source."""
    legend = []
    for engine, point_shape in zip(engines, PUBLISHED_SHAPES, strict=False):
        points = [point for point in published if point.name == engine]
        device_times = " and ".join(f"{point.device_ms:.1f}" for point in points)
        legend_text = f"{engine}: device {device_times} ms per step ({points[0].source})"
        legend.append(
            (_draw_points(axis, points, point_shape, PUBLISHED_SIZE), legend_text)
        )
    return legend


def _draw_points(axis: Axes, points: Sequence[Point], shape: str, size: float) -> Marks:
    """Draw points, asynchronous ones hollow; return their markers."""
    point_marks: list[Line2D] = []
    for drawn_point in points:
        mode_color = MODE.get(drawn_point.mode, GREEN)
        face_color, edge_color = (
            (GROUND, mode_color) if drawn_point.mode == "async" else (mode_color, GROUND)
        )
        point_marks += axis.plot(
            drawn_point.host_ms,
            drawn_point.idle_pct,
            linestyle="none",
            marker=shape,
            markersize=size,
            markerfacecolor=face_color,
            markeredgecolor=edge_color,
            clip_on=False,
            zorder=4 - size / 10,  # small ones over large ones
        )
    return tuple(point_marks)
