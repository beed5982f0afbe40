"""How every figure looks, and how figures are made and saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from idlescope.palette import (
    BLUE,
    GREEN,
    GROUND,
    INK,
    MODE,
    ORANGE,
    PALE,
    PURPLE,
    REMARK,
    SKY,
    VERMILION,
)
from idlescope.report.text import shorten, visible
from idlescope.report.work_line import WorkLine

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

WIDTH_INCHES = 9.0
DEVICE_COLORS = (GREEN, PURPLE, ORANGE, BLUE, SKY, VERMILION)  # in their order
MODE_DASHES = {"sync": "-", "async": (0, (5, 1.5))}  # modes differ in greyscale, too
MAX_LABEL_CHARACTERS = 36  # a figure of WIDTH_INCHES has room for so many
LEGEND_CHARACTERS = 120  # of one row of a legend, lines included
LEGEND_LINE_CHARACTERS = 12  # the room that a line and its margins take in a legend
LUMINANCE = (0.2126, 0.7152, 0.0722)  # weights of red, green and blue (ITU-R BT.709)
DARK_LUMINANCE = 0.42  # letters are white on colours of less luminance
RC_PARAMS = {
    "svg.hashsalt": "idlescope",
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.dpi": 150,
}
# What stands for a colour where a page or a viewer is dark.
IN_THE_DARK = {INK: "#e6edf3", REMARK: "#9aa4ae", GROUND: "#0d1117", PALE: "#262c34"}
# Without dates and versions, so that equal figures are equal files.
FILE_METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "idlescope"},
    "png": {"Software": None},
}


def styled() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws and saves in our style."""
    import matplotlib as mpl

    return mpl.rc_context(RC_PARAMS)  # type: ignore[arg-type]


def styled_for_notebooks() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws in our style, as large as its user wants it."""
    import matplotlib as mpl

    own = {key: value for key, value in RC_PARAMS.items() if key != "figure.dpi"}
    return mpl.rc_context(own)  # type: ignore[arg-type]


def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as SVG and PNG, equal figures as equal files; return the paths.

    SVG files are dark where those who look at them want that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure_paths = []
    with styled():
        for figure_name, figure in figures.items():
            _lay_out(figure)
            for suffix, metadata in FILE_METADATA.items():
                figure_path = folder / f"{figure_name}.{suffix}"
                figure.savefig(figure_path, metadata=metadata)
                figure_paths.append(figure_path)
            _follow_scheme(folder / f"{figure_name}.svg")
    return figure_paths


def _lay_out(figure: Figure) -> None:
    """Find the place of everything once, not anew for each file.

    Without a layout engine, even one that does nothing, a file is drawn once and not twice.
    """
    layout_engine = figure.get_layout_engine()
    if layout_engine is not None:
        layout_engine.execute(figure)
    figure.set_layout_engine(None)


def _follow_scheme(svg_path: Path) -> None:
    """Add to an SVG file of matplotlib's, which has a style in it, what it is in the dark."""
    rules = [
        f'[style*="{attribute}: {light.lower()}"] {{ {attribute}: {dark} !important }}'
        for light, dark in IN_THE_DARK.items()
        for attribute in ("fill", "stroke")
    ]
    media_rule = f"@media (prefers-color-scheme: dark) {{ {' '.join(rules)} }}"
    svg_text = svg_path.read_text(encoding="utf-8")
    svg_path.write_text(
        svg_text.replace("</style>", f"{media_rule}</style>", 1), encoding="utf-8"
    )


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, which no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def stacked(rows: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many axes, one below the other; options are those of `subplots`."""
    figure = canvas(WIDTH_INCHES, height)
    panels = figure.subplots(rows, 1, squeeze=False, **options)
    return figure, list(panels[:, 0])


def figure_title(figure: Figure, text: str) -> None:
    """Write a title over a whole figure, on its left."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=10)


def drawn_text(text: str) -> str:
    """Return a text that matplotlib draws as it stands, not as a formula."""
    return visible(text).replace("$", r"\$")


def drawn_title(line: WorkLine) -> str:
    """Return the title of a line of work as figures show it."""
    return drawn_text(shorten(line.title, MAX_LABEL_CHARACTERS))


def line_styles(lines: Sequence[WorkLine]) -> list[dict[str, Any]]:
    """Return how each line is drawn: modes in their colours, devices each in one of its own.

    Devices beyond the last colour begin again with the first one, dashed.
    """
    dashes = list(MODE_DASHES.values())
    styles = []
    for line_index, work_line in enumerate(lines):
        round_of_colors, color_index = divmod(line_index, len(DEVICE_COLORS))
        line_color = MODE.get(work_line.label, DEVICE_COLORS[color_index])
        line_dashes = MODE_DASHES.get(
            work_line.label, dashes[round_of_colors % len(dashes)]
        )
        styles.append({"color": line_color, "linestyle": line_dashes, "linewidth": 1.3})
    return styles


def line_legend(figure: Figure, axis: Axes) -> None:
    """Name the stairs of an axis below the figure, in as many columns as there is room for."""
    from matplotlib.lines import Line2D

    legend_lines = []
    for stairs in axis.patches:
        line_color, line_dashes = stairs.get_edgecolor(), stairs.get_linestyle()
        legend_lines.append(
            Line2D(
                [],
                [],
                color=line_color,
                linestyle=line_dashes,
                label=str(stairs.get_label()),
            )
        )
    longest_label = max(len(str(legend_line.get_label())) for legend_line in legend_lines)
    columns = LEGEND_CHARACTERS // (LEGEND_LINE_CHARACTERS + longest_label)
    figure.legend(
        handles=legend_lines,
        loc="outside lower center",
        ncols=min(len(legend_lines), columns),
        handlelength=2.4,
    )


def patch_legend(figure: Figure, handles: list[Patch]) -> None:
    """Name the colours of bars below the figure, in one row."""
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.2
    )


def patch(color: str, label: str) -> Patch:
    """Return the entry of a colour in a legend."""
    from matplotlib.patches import Patch

    return Patch(facecolor=color, edgecolor="none", linewidth=0.5, label=label)


def ink(color: Any) -> str:
    """Return the colour of letters that can be read on a colour."""
    from matplotlib.colors import to_rgb

    return "white" if np.dot(to_rgb(color), LUMINANCE) < DARK_LUMINANCE else "black"
