"""By how much each part of a step changed between two traces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from idlescope.analysis.comparison.change import Change, Comparison
from idlescope.palette import BLUE, GREY, INK, VERMILION
from idlescope.report.figures.style import WIDTH_INCHES, canvas, drawn_text, styled
from idlescope.report.tables.comparison import NAME_WIDTH, parts_shown, unit_of
from idlescope.report.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from idlescope.analysis.comparison.change import Side


def draw(comparison: Comparison) -> Figure:
    """Draw the change of each part with its interval; the parts add up to the bar on top."""
    shown_changes = [comparison.headline, *parts_shown(comparison)]
    time_unit = unit_of(comparison)
    with styled():
        figure = canvas(WIDTH_INCHES, 0.3 * len(shown_changes) + 1.4)
        bar_axes = figure.subplots()
        for bar_row, part_change in enumerate(shown_changes):
            _draw_bar(bar_axes, bar_row, part_change, time_unit.scale)
        bar_axes.set_yticks(
            range(len(shown_changes)),
            [drawn_text(shorten(part_change.name)) for part_change in shown_changes],
        )
        bar_axes.set_ylim(len(shown_changes) - 0.4, -0.6)
        bar_axes.axvline(0, color=INK, linewidth=0.8)
        bar_axes.axhline(0.5, color=GREY, linewidth=0.8)
        bar_axes.set_xlabel(_axis_label(comparison, time_unit.name))
        base_title, other_title = (
            _side_title(comparison.base),
            _side_title(comparison.other),
        )
        bar_axes.set_title(f"{base_title} to {other_title}; grey: noise")
    return figure


def _draw_bar(axis: Axes, row: int, bar: Change, scale: float) -> None:
    length = bar.change / scale
    axis.barh(row, length, color=_color(bar), height=0.65)
    if bar.margin:
        margin = bar.margin / scale
        axis.errorbar(length, row, xerr=margin, color=INK, capsize=2, linewidth=0.8)


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
    first_recording = side.first
    file_name = drawn_text(shorten(Path(first_recording.path).name, NAME_WIDTH))
    modelled_note = ", modelled" if first_recording.modelled else ""
    return f"{side.letter} ({file_name}{modelled_note})"
