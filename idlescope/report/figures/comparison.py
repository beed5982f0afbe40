"""By how much each part of a step changed between two traces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.palette import BLUE, GREY, VERMILION
from idlescope.report.figures.style import WIDTH_INCHES, canvas, drawn_text, styled
from idlescope.report.tables.comparison import NAME_WIDTH, parts_shown, unit_of
from idlescope.report.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from idlescope.analysis.comparison.change import Side


def draw(comparison: Comparison) -> Figure:
    """Draw the change of each part with its interval; the parts add up to the bar on top."""
    bars = [comparison.headline, *parts_shown(comparison)]
    unit = unit_of(comparison)
    with styled():
        figure = canvas(WIDTH_INCHES, 0.3 * len(bars) + 1.4)
        axis = figure.subplots()
        for row, bar in enumerate(bars):
            _draw_bar(axis, row, bar, unit.scale)
        axis.set_yticks(range(len(bars)), [drawn_text(shorten(bar.name)) for bar in bars])
        axis.set_ylim(len(bars) - 0.4, -0.6)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.axhline(0.5, color=GREY, linewidth=0.8)
        axis.set_xlabel(_axis_label(comparison, unit.name))
        base, other = _side_title(comparison.base), _side_title(comparison.other)
        axis.set_title(f"{base} to {other}; grey: noise")
    return figure


def _draw_bar(axis: Axes, row: int, bar: Change, scale: float) -> None:
    length = bar.change / scale
    axis.barh(row, length, color=_color(bar), height=0.65)
    if bar.margin:
        margin = bar.margin / scale
        axis.errorbar(length, row, xerr=margin, color="black", capsize=2, linewidth=0.8)


def _color(bar: Change) -> str:
    is_noise = not bar.different and bar.margin is not None
    if is_noise:
        return GREY
    return VERMILION if bar.change > 0 else BLUE


def _axis_label(comparison: Comparison, unit: str) -> str:
    if comparison.unit == "window":
        return "change, points of the window"
    return f"change, {unit} per {comparison.unit}"


def _side_title(side: Side) -> str:
    """Return the letter of a side, with the name of its first trace."""
    first = side.first
    name = drawn_text(shorten(Path(first.path).name, NAME_WIDTH))
    kind = ", modelled" if first.modelled else ""
    return f"{side.letter} ({name}{kind})"
