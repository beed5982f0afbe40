"""Heat maps of a sweep: idle by batch size in either mode, and what asynchronous batching gives."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from idlescope.palette import BLUE, GREY, VERMILION
from idlescope.report.figures.figures import STYLE, canvas, drawn_text, ink
from idlescope.report.tables.terminal import TITLES
from idlescope.trace.names.own_engine import DEPTHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_INCHES, CELL_INCHES = 0.3, 0.62  # a line's height, a cell's width
PANEL_INCHES = 3.4  # at least: its title has to fit
LABEL_INCHES = 1.7  # what the names of the lines take
IDLE_STEP = 10.0  # the scale of idle time ends at a multiple of it, %


def draw(table: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """Return the heat maps by name, of the rows of a sweep (experiment/answers.py); a panel a device and mode."""
    import matplotlib as mpl

    modes = [mode for mode in DEPTHS if any(row["mode"] == mode for row in table)]
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        idle = [(TITLES[mode], mode, "idle_pct") for mode in modes]
        worst = max((row["idle_pct"] for row in table if row["idle_pct"] is not None), default=0.0)
        scale = (0.0, IDLE_STEP * max(1, ceil(worst / IDLE_STEP)))
        figures = {
            "idle": _figure(table, idle, "Idle, % of the window", VERMILION, scale, "{:.1f}")
        }
        gains = [row["speedup"] for row in table if row["speedup"] is not None]
        if gains:
            title, scale = "Synchronous over asynchronous time", (1.0, max(*gains, 1.01))
            figures["gain"] = _figure(
                table, [("", modes[0], "speedup")], title, BLUE, scale, "{:.2f}×"
            )
    return figures


def _figure(
    table: Sequence[dict[str, Any]], columns: list[tuple[str, str, str]], title: str, color: str,
    scale: tuple[float, float], form: str,
) -> Figure:  # fmt: skip
    """Draw a row of panels a device, a panel for each of `columns`: its title, the mode, the figure."""
    from matplotlib import cm, colors

    devices = list(dict.fromkeys(row["device"] for row in table))
    lines = list(dict.fromkeys((row["model"], row["host_ms"]) for row in table))
    batches = sorted({row["batch_size"] for row in table})
    width = LABEL_INCHES + len(columns) * max(PANEL_INCHES, CELL_INCHES * len(batches))
    height = 0.9 + len(devices) * (0.75 + LINE_INCHES * len(lines))
    figure = canvas(width, height)
    axes = figure.subplots(len(devices), len(columns), squeeze=False, sharex=True, sharey=True)
    shades = cm.ScalarMappable(
        colors.Normalize(*scale), colors.LinearSegmentedColormap.from_list("", ["white", color])
    )
    for device, across in zip(devices, axes, strict=True):
        for axis, (name, mode, figure_of) in zip(across, columns, strict=True):
            values = np.full((len(lines), len(batches)), np.nan)
            for row in table:
                if (row["device"], row["mode"]) == (device, mode) and row[figure_of] is not None:
                    at = (
                        lines.index((row["model"], row["host_ms"])),
                        batches.index(row["batch_size"]),
                    )
                    values[at] = row[figure_of]
            _panel(axis, values, shades, form)
            axis.set_title(", ".join(filter(None, (_device(table, device), name))))
            axis.set_xticks(range(len(batches)), [str(b) for b in batches])
            axis.set_yticks(range(len(lines)), [_line(*key) for key in lines])
    for axis in axes[-1]:
        axis.set_xlabel("batch size")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _panel(axis: Axes, values: np.ndarray[Any, Any], shades: Any, form: str) -> None:
    axis.set_facecolor(GREY)  # of cells that could not be run
    axis.imshow(values, cmap=shades.get_cmap(), norm=shades.norm, aspect="auto")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for at, rows in ((axis.axhline, values.shape[0]), (axis.axvline, values.shape[1])):
        for i in range(1, rows):
            at(i - 0.5, color="white", linewidth=1.5)
    for (y, x), value in np.ndenumerate(values):
        known = not np.isnan(value)
        color = ink(shades.to_rgba(value)[:3]) if known else "black"
        axis.text(
            x,
            y,
            form.format(value) if known else "–",
            ha="center",
            va="center",
            color=color,
            fontsize=8,
        )


def _line(model: str, host_ms: float | None) -> str:
    return drawn_text(model if host_ms is None else f"{model}, host {host_ms:g} ms")


def _device(table: Sequence[dict[str, Any]], device: str) -> str:
    """Return what a device is called, which says that it is modelled where it is; its option where no cell ran."""
    return drawn_text(
        next(
            (r["device_name"] for r in table if r["device"] == device and r["device_name"]), device
        )
    )
