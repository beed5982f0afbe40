"""Idle over host work: the curve of the recorded steps, with points that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from idlescope.analysis.prediction.curve import Curve as IdleCurve
from idlescope.analysis.prediction.curve import HostCost
from idlescope.analysis.prediction.published import Point
from idlescope.experiment.document import PublishedHost
from idlescope.palette import GREEN, MODE, MODE_TITLES
from idlescope.report.page.plot import Axis, Curve, Mark, Plot, Tick, polyline, round_up
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.text import shorten
from idlescope.trace.names.own_engine import DEPTHS

MODE_OF_DEPTH = {depth: mode for mode, depth in DEPTHS.items()}
DASHES = {"sync": "none", "async": "7 4"}  # modes differ in grey, too
CIRCLE = "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z"
SHAPES = (  # of engines measured elsewhere
    "M-5-5H5V5H-5z",
    "M0-7L6 0L0 7L-6 0z",
    "M0-6L6 5H-6z",
    "M0 6L6-5H-6z",
)
STAR = "M0-8L2-2.6L7.6-2.5L3.2 1L4.7 6.5L0 3.3L-4.7 6.5L-3.2 1L-7.6-2.5L-2-2.6z"


def fill(material: Material) -> FragmentData | None:
    """Return a plot, and what its points are; None where no steps can be replayed."""
    cost, host = material.page.cost, material.page.published_host
    if cost is None:
        return None
    plot = _empty_plot(cost)
    points = [*_own_points(cost), *_of_published_host(host), *_published_points(cost)]
    # those that matter most are drawn last, over the others
    marks = [_mark(plot, shown) for named in reversed(points) for shown in named.shown]
    curves = [_curve(plot, idle_curve) for idle_curve in cost.curves]
    return {
        "plot": plot._replace(curves=curves, marks=marks),
        "device_ms": cost.device_ms,
        "points": [
            (_mark(plot, named.shown[0])._replace(label=""), named.text) for named in points
        ],
        "sources": [
            (point.name, MODE_TITLES.get(point.mode, ""), *_figures(point), point.source)
            for point in (*cost.measured, *cost.published)
        ],
    }


class _Shown(NamedTuple):
    """One point of the chart."""

    host_ms: float
    idle_pct: float
    mode: str
    shape: str
    label: str = ""
    is_below: bool = False


class _Named(NamedTuple):
    """Points that are one line of the legend."""

    shown: list[_Shown]
    text: str


def _empty_plot(cost: HostCost) -> Plot:
    """Return the axes, which hold all curves and points."""
    furthest_ms = max(float(idle_curve.host_ms[-1]) for idle_curve in cost.curves)
    of_points = [point.idle_pct for point in (*cost.measured, *cost.published)]
    highest = max([*(float(curve.idle_pct.max()) for curve in cost.curves), *of_points])
    x_axis = Axis("host work, ms per step", furthest_ms)
    device = Tick(x_axis.place(cost.device_ms), f"device: {cost.device_ms:.3g} ms")
    return Plot(
        description="Idle over host work per step, in both modes, with measured points",
        x=x_axis,
        y=Axis("idle, %", min(round_up(highest), 100.0)),
        curves=(),
        rule=device,
    )


def _curve(plot: Plot, idle_curve: IdleCurve) -> Curve:
    mode = MODE_OF_DEPTH[idle_curve.depth]
    host_ms, idle_pct = idle_curve.host_ms.tolist(), idle_curve.idle_pct.tolist()
    places = [plot.point(*pair) for pair in zip(host_ms, idle_pct, strict=True)]
    return Curve(
        points=polyline(places),
        colour=MODE[mode],
        dashes=DASHES[mode],
        label=MODE_TITLES[mode],
        at=places[-1],
        is_below=idle_curve.depth > 1,
    )


def _mark(plot: Plot, shown: _Shown) -> Mark:
    place = plot.point(shown.host_ms, shown.idle_pct)
    colour = MODE.get(shown.mode, GREEN)
    return Mark(
        *place, colour, shown.shape, shown.mode == "async", shown.label, shown.is_below
    )


def _own_points(cost: HostCost) -> Iterator[_Named]:
    """Yield the points of this run or trace, each with what it is."""
    for number, point in enumerate(cost.measured):
        name = shorten(MODE_TITLES.get(point.name, point.name))
        where = "this engine" if point.mode else "this trace"
        label = where if number == 0 else ""
        host, idle = _figures(point)
        shown = _Shown(
            point.host_ms, point.idle_pct, point.mode, CIRCLE, label, is_below=True
        )
        yield _Named([shown], f"{where}, {name}: {host}, {idle} idle")


def _of_published_host(host: PublishedHost | None) -> Iterator[_Named]:
    """Yield what the published engine's host would make of the same steps."""
    if host is None:
        return
    shown = [
        _Shown(host.host_work_ms, idle_pct, mode, STAR)
        for mode, idle_pct in host.idle_pct.items()
    ]
    shown[0] = shown[0]._replace(label="published host")
    change = " to ".join(f"{idle_pct:.3g} %" for idle_pct in host.idle_pct.values())
    text = (
        f"these steps with the host of {host.engine}: {host.host_work_ms:.3g} ms, of which the "
        f"GPU waits {host.gap_ms_here:.3g}, {change} idle"
    )
    yield _Named(shown, text)


def _published_points(cost: HostCost) -> Iterator[_Named]:
    """Yield the points of each engine measured elsewhere, with what they are."""
    engines = list(dict.fromkeys(point.name for point in cost.published))
    for engine, shape in zip(engines, SHAPES, strict=False):
        points = [point for point in cost.published if point.name == engine]
        shown = [
            _Shown(point.host_ms, point.idle_pct, point.mode, shape) for point in points
        ]
        change = " to ".join(f"{point.idle_pct:.3g} %" for point in points)
        device = f"device {points[0].device_ms:.3g} ms"
        yield _Named(
            shown, f"{engine}, {device}: {points[0].host_ms:.3g} ms, {change} idle"
        )


def _figures(point: Point) -> tuple[str, str]:
    return f"{point.host_ms:.3g} ms", f"{point.idle_pct:.2f} %"


SECTION = Section("What host work costs", fragment_beside(__file__), fill)
