"""How every table stands on a terminal: names as they are, modes and causes in their colours."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from idlescope.palette import CAUSE, MODE, MODE_TITLES
from idlescope.report.text import visible

Rows = list[tuple[str, list[str]]]  # a label, and one cell per column
IDLE_PER_STEP = "idle per step: "  # before the name of a cause
BARS = "▁▂▃▄▅▆▇█"
NARROW = (
    72  # columns of a terminal: below, wide tables leave out what follows from the rest
)
INDENT = "  "  # before the label of a part of the row above
_MODE_STYLES = {MODE_TITLES[mode]: color for mode, color in MODE.items()}
_PER_STEP_STYLES = {f"{IDLE_PER_STEP}{cause}": color for cause, color in CAUSE.items()}
STYLES = {**_MODE_STYLES, **CAUSE, **_PER_STEP_STYLES}  # of what names a mode or a cause


def plain(text: object, style: str = "") -> Text:
    """Return what the terminal shows as it stands: no markup, no emoji, nothing that acts."""
    return Text(visible(str(text)), style)


def little_bars(values: Sequence[float | None]) -> str:
    """Return values as bars from zero to the largest of them; a space for what is not known."""
    most = max((value for value in values if value is not None), default=0.0)
    scale = (len(BARS) - 1) / most if most > 0 else 0.0
    return "".join(
        " " if value is None else BARS[max(round(value * scale), 0)] for value in values
    )


def empty_table(title: str) -> Table:
    """Return a table without columns yet, narrow enough for a terminal of 80 columns."""
    return Table(
        title=plain(title) if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )


def side_by_side(title: str, columns: Sequence[str], rows: Rows) -> Table:
    """Return a table of labelled rows, with numbers on the right of their columns."""
    columns_table = empty_table(title)
    columns_table.add_column("")
    for column in columns:
        columns_table.add_column(plain(column, STYLES.get(column, "")), justify="right")
    for row_label, row_cells in rows:
        row_style = STYLES.get(row_label.strip(), "")
        columns_table.add_row(plain(row_label, row_style), *map(plain, row_cells))
    return columns_table
