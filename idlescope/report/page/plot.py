"""A chart of the page: curves and marks whose places are in per cent of its width and height.

It is drawn by `chart` of templates/macros.html.j2 as SVG within the page, so that letters keep
their size on a phone and colours follow the page's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10
from typing import NamedTuple

MOST_TICKS = 6


class Tick(NamedTuple):
    """A number on an axis."""

    place: float  # % of the axis, from the left or from the top
    label: str


class Curve(NamedTuple):
    """A line through points."""

    points: str  # as the attribute of an SVG polyline, in %
    colour: str
    dashes: str  # as stroke-dasharray; "none" for a whole line
    label: str
    at: tuple[float, float]  # where its label stands, in %
    is_below: bool = False  # whether the label stands below the line


class Mark(NamedTuple):
    """A point of its own."""

    x: float
    y: float
    colour: str
    shape: str  # SVG path about the point
    hollow: bool
    label: str  # beside it; may be empty
    is_below: bool = False  # whether the label stands below it, if it has room on the right


class Axis(NamedTuple):
    """The numbers that an axis ranges over."""

    title: str
    high: float  # from 0

    def place(self, value: float) -> float:
        """Return how far along the axis a value is, in %."""
        return 100.0 * value / self.high if self.high else 0.0

    def ticks(self, from_top: bool = False) -> list[Tick]:
        """Return round numbers on the axis."""
        step = _round_step(self.high / MOST_TICKS)
        values = [step * count for count in range(floor(self.high / step * 1.0001) + 1)]
        return [
            Tick(100.0 - self.place(value) if from_top else self.place(value), f"{value:g}")
            for value in values
        ]


class Plot(NamedTuple):
    """Everything that a chart shows."""

    description: str  # for those who do not see it
    x: Axis
    y: Axis
    curves: Sequence[Curve]
    marks: Sequence[Mark] = ()
    rule: Tick | None = None  # a vertical line, with its label

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a pair of values, in % from the left and from the top."""
        return self.x.place(x), 100.0 - self.y.place(y)


def _round_step(rough: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is not smaller."""
    power = 10.0 ** floor(log10(rough)) if rough > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def round_up(value: float) -> float:
    """Return where an axis that has to hold a value ends."""
    step = _round_step(max(value, 1e-9) / MOST_TICKS)
    return step * max(ceil(value / step), 1)


def polyline(places: Iterable[tuple[float, float]]) -> str:
    """Return places as the attribute `points` of an SVG polyline."""
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in places)
