"""Heat maps of a sweep: idle by batch size in either mode, and what asynchronous batching gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from idlescope.palette import BLUE, GREY, GROUND, INK, MODE_TITLES, VERMILION
from idlescope.report.figures.style import canvas, drawn_text, figure_title, ink, styled
from idlescope.report.text import NOTHING
from idlescope.trace.names.own_engine import DEPTHS
from idlescope.trace.table import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

LINE_INCHES, CELL_INCHES = 0.3, 0.62  # a line's height, a cell's width
MIN_PANEL_INCHES = 3.4  # its title has to fit
LABEL_INCHES = 1.7  # what the names of the lines take
IDLE_STEP = 10.0  # the scale of idle time ends at a multiple of it, %
MIN_GAIN = 1.01  # the scale of gains ends here at least
SweepRow = dict[str, Any]  # of a sweep's table (experiment/answers.py)
LineKey = tuple[str, float | None]  # model, host work in ms


class _Column(NamedTuple):
    """What one column of panels shows."""

    title: str
    mode: str
    figure: str  # key of a SweepRow


@dataclass(frozen=True)
class _HeatMap:
    """What one figure shows, and in which colours."""

    title: str
    columns: list[_Column]
    color: str
    scale: tuple[float, float]  # figures of white and of the colour
    form: str  # format of the cells


def draw(table: Sequence[SweepRow]) -> dict[str, Figure]:
    """Return the heat maps of a sweep by name; a row of panels for each device."""
    modes_swept = [
        mode_name for mode_name in DEPTHS if any(row["mode"] == mode_name for row in table)
    ]
    with styled():
        figures = {"idle": _draw_map(table, _idle_map(table, modes_swept))}
        speedups = [row["speedup"] for row in table if row["speedup"] is not None]
        if speedups:
            figures["gain"] = _draw_map(table, _gain_map(speedups, modes_swept[0]))
    return figures


def _idle_map(table: Sequence[SweepRow], modes: Sequence[str]) -> _HeatMap:
    known_idle_pct = (row["idle_pct"] for row in table if row["idle_pct"] is not None)
    colour_steps = max(1, ceil(max(known_idle_pct, default=0.0) / IDLE_STEP))
    columns = [
        _Column(MODE_TITLES[mode_name], mode_name, "idle_pct") for mode_name in modes
    ]
    return _HeatMap(
        "Idle, % of the window",
        columns,
        VERMILION,
        (0.0, IDLE_STEP * colour_steps),
        "{:.1f}",
    )


def _gain_map(gains: Sequence[float], mode: str) -> _HeatMap:
    map_title = "Synchronous over asynchronous time"
    colour_range = (1.0, max(*gains, MIN_GAIN))
    return _HeatMap(
        map_title, [_Column("", mode, "speedup")], BLUE, colour_range, "{:.2f}×"
    )


class _Grid:
    """The cells of a sweep's panels: lines by batch sizes."""

    def __init__(self, table: Sequence[SweepRow]) -> None:
        self.table = table
        self.devices: list[str] = list(dict.fromkeys(row["device"] for row in table))
        line_keys: list[LineKey] = [(row["model"], row["host_ms"]) for row in table]
        self.lines = list(dict.fromkeys(line_keys))
        self.batch_sizes: list[int] = sorted({row["batch_size"] for row in table})

    def values(self, device: str, column: _Column) -> Float64:
        """Return the figures of one panel; NaN where a cell could not be run."""
        values = np.full((len(self.lines), len(self.batch_sizes)), np.nan)
        for sweep_row in self.table:
            in_panel = sweep_row["device"] == device and sweep_row["mode"] == column.mode
            if in_panel and sweep_row[column.figure] is not None:
                line_index = self.lines.index((sweep_row["model"], sweep_row["host_ms"]))
                batch_index = self.batch_sizes.index(sweep_row["batch_size"])
                values[line_index, batch_index] = sweep_row[column.figure]
        return values

    def device_title(self, device: str) -> str:
        """Return what a device is called, which says that it is modelled where it is.

        Its option of the command line where no cell ran.
        """
        of_device = (row for row in self.table if row["device"] == device)
        device_names = (row["device_name"] for row in of_device if row["device_name"])
        return drawn_text(next(device_names, device))


def _draw_map(table: Sequence[SweepRow], heat_map: _HeatMap) -> Figure:
    """Draw a row of panels for each device."""
    sweep_grid = _Grid(table)
    row_count, column_count = len(sweep_grid.devices), len(heat_map.columns)
    panel_width = max(MIN_PANEL_INCHES, CELL_INCHES * len(sweep_grid.batch_sizes))
    panel_height = 0.75 + LINE_INCHES * len(sweep_grid.lines)
    figure_width = LABEL_INCHES + column_count * panel_width
    height = 0.9 + row_count * panel_height
    figure = canvas(figure_width, height)
    panels = figure.subplots(
        row_count, column_count, squeeze=False, sharex=True, sharey=True
    )
    shades = _shades(heat_map)
    for device, device_axes in zip(sweep_grid.devices, panels, strict=True):
        for panel_axes, column in zip(device_axes, heat_map.columns, strict=True):
            values = sweep_grid.values(device, column)
            _draw_panel(panel_axes, values, shades, heat_map.form)
            titles = (sweep_grid.device_title(device), column.title)
            panel_axes.set_title(", ".join(filter(None, titles)))
            _name_cells(panel_axes, sweep_grid)
    for panel_axes in panels[-1]:
        panel_axes.set_xlabel("batch size")
    figure_title(figure, heat_map.title)
    return figure


def _name_cells(axis: Axes, grid: _Grid) -> None:
    batch_labels = [str(batch_size) for batch_size in grid.batch_sizes]
    line_labels = [_line_label(*line_key) for line_key in grid.lines]
    axis.set_xticks(range(len(batch_labels)), batch_labels)
    axis.set_yticks(range(len(line_labels)), line_labels)


def _shades(heat_map: _HeatMap) -> ScalarMappable:
    from matplotlib import cm, colors

    from_white = colors.LinearSegmentedColormap.from_list("", ["white", heat_map.color])
    return cm.ScalarMappable(colors.Normalize(*heat_map.scale), from_white)


def _draw_panel(axis: Axes, values: Float64, shades: Any, form: str) -> None:
    axis.set_facecolor(GREY)  # of cells that could not be run
    axis.imshow(values, cmap=shades.get_cmap(), norm=shades.norm, aspect="auto")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    _draw_borders(axis, *values.shape)
    for (line_index, batch_index), cell_value in np.ndenumerate(values):
        cell_text, text_color = NOTHING, INK
        if not np.isnan(cell_value):
            cell_text = form.format(cell_value)
            text_color = ink(shades.to_rgba(cell_value)[:3])
        axis.text(
            batch_index,
            line_index,
            cell_text,
            ha="center",
            va="center",
            color=text_color,
            fontsize=8,
        )


def _draw_borders(axis: Axes, lines: int, batch_sizes: int) -> None:
    """Draw lines of the ground between the cells."""
    for line_index in range(1, lines):
        axis.axhline(line_index - 0.5, color=GROUND, linewidth=1.5)
    for batch_index in range(1, batch_sizes):
        axis.axvline(batch_index - 0.5, color=GROUND, linewidth=1.5)


def _line_label(model: str, host_ms: float | None) -> str:
    return drawn_text(model if host_ms is None else f"{model}, host {host_ms:g} ms")
