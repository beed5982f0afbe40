"""Idle over host work: the curve of the recorded steps, with points that were measured."""

from __future__ import annotations

from collections.abc import Iterator

from idlescope.analysis.prediction.curve import Curve as IdleCurve
from idlescope.analysis.prediction.curve import HostCost
from idlescope.analysis.prediction.published import Point
from idlescope.palette import GREEN, MODE
from idlescope.report.page.plot import Axis, Curve, Mark, Plot, Tick, polyline, round_up
from idlescope.report.page.section import FragmentData, Material, Section, fragment_beside
from idlescope.report.text import shorten
from idlescope.report.work_line import MODE_TITLES
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
LABEL_AT = 0.97  # of the curve's width: where its name ends


def fill(material: Material) -> FragmentData | None:
    """Return a plot, and what its points are; None where no steps can be replayed."""
    cost = material.page.cost
    if cost is None:
        return None
    return {
        "plot": _plot(cost),
        "device_ms": cost.device_ms,
        "points": [*_own_points(cost), *_published_points(cost)],
        "sources": [
            (point.name, MODE_TITLES.get(point.mode, ""), *_figures(point), point.source)
            for point in (*cost.measured, *cost.published)
        ],
    }


def _plot(cost: HostCost) -> Plot:
    furthest_ms = max(float(curve.host_ms[-1]) for curve in cost.curves)
    highest = max(float(curve.idle_pct.max()) for curve in cost.curves)
    highest = max([highest, *(point.idle_pct for point in _all_points(cost))])
    x_axis = Axis("host work, ms per step", furthest_ms)
    y_axis = Axis("idle, %", min(round_up(highest), 100.0))
    plot = Plot(
        description="Idle over host work per step, in both modes, with measured points",
        x=x_axis,
        y=y_axis,
        curves=(),
        rule=Tick(
            x_axis.place(cost.device_ms), f"device: {cost.device_ms:.3g} ms per step"
        ),
    )
    return plot._replace(
        curves=[_curve(plot, curve) for curve in cost.curves],
        marks=[_mark(plot, point, shape, "") for point, shape in _shapes(cost)],
    )


def _curve(plot: Plot, curve: IdleCurve) -> Curve:
    mode = MODE_OF_DEPTH[curve.depth]
    places = [
        plot.point(host_ms, idle_pct)
        for host_ms, idle_pct in zip(
            curve.host_ms.tolist(), curve.idle_pct.tolist(), strict=True
        )
    ]
    return Curve(polyline(places), MODE[mode], DASHES[mode], MODE_TITLES[mode], places[-1])


def _all_points(cost: HostCost) -> list[Point]:
    return [*cost.measured, *cost.published]


def _shapes(cost: HostCost) -> Iterator[tuple[Point, str]]:
    """Yield every point with its shape: those measured elsewhere first, so that ours lie on top."""
    engines = list(dict.fromkeys(point.name for point in cost.published))
    shape_of = dict(zip(engines, SHAPES, strict=False))
    for point in cost.published:
        yield point, shape_of.get(point.name, SHAPES[-1])
    for point in cost.measured:
        yield point, CIRCLE


def _mark(plot: Plot, point: Point, shape: str, label: str) -> Mark:
    place = plot.point(point.host_ms, point.idle_pct)
    colour = MODE.get(point.mode, GREEN)
    return Mark(*place, colour, shape, hollow=point.mode == "async", label=label)


def _own_points(cost: HostCost) -> Iterator[tuple[list[Mark], str]]:
    """Yield the points of this run or trace, each with what it is."""
    plot = _plot(cost)
    for point in cost.measured:
        name = shorten(MODE_TITLES.get(point.name, point.name))
        where = "this run" if point.mode else "this trace"
        host, idle = _figures(point)
        yield [_mark(plot, point, CIRCLE, "")], f"{where}, {name}: {host}, {idle} idle"


def _published_points(cost: HostCost) -> Iterator[tuple[list[Mark], str]]:
    """Yield the points of each engine measured elsewhere, with what they are."""
    plot = _plot(cost)
    by_engine: dict[str, list[tuple[Point, str]]] = {}
    for point, shape in _shapes(cost):
        if point in cost.published:
            by_engine.setdefault(point.name, []).append((point, shape))
    for engine, points in by_engine.items():
        idle = " to ".join(f"{point.idle_pct:.3g} %" for point, _ in points)
        first = points[0][0]
        text = f"{engine}: {first.host_ms:.3g} ms, {idle} idle"
        yield [_mark(plot, point, shape, "") for point, shape in points[:1]], text


def _figures(point: Point) -> tuple[str, str]:
    return f"{point.host_ms:.3g} ms", f"{point.idle_pct:.2f} %"


SECTION = Section("What host work costs", fragment_beside(__file__), fill)
