"""What a trace's steps would take otherwise, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from idlescope.analysis.prediction.forecast import Forecast
from idlescope.analysis.prediction.what_if import IN_WORDS, Prediction
from idlescope.analysis.result import Analysis
from idlescope.report.tables.terminal import device_label, plain
from idlescope.report.text import milliseconds

SCHEMA = 1
TOKENS = "tokens/s"
COLUMNS = ("a step", "in all", TOKENS, "comp. idle", "saves")


def rows(forecast: Forecast) -> list[tuple[str, list[str]]]:
    """Return a label and the cells of each case: as recorded, as asked for, its bound, and further changes."""
    base = forecast.recorded

    def row(label: str, p: Prediction) -> tuple[str, list[str]]:
        saved = f"{100 * p.less_than(base):.1f} %" if p is not base else "–"
        rate = "–" if p.tokens_per_s is None else f"{p.tokens_per_s:,.0f}"
        step, total, idle = (
            f"{p.step_ns / 1e6:,.2f} ms",
            milliseconds(p.total_ns),
            f"{p.compute_idle_pct:.2f} %",
        )
        return label, [step, total, rate, idle, saved]

    return [
        row(f"recorded, {IN_WORDS.get(forecast.depth or 0, 'serialised')}", base),
        row(forecast.what.text(), forecast.predicted),
        row("  + host that is free", forecast.bound),
        *(row(f"  + {lever.name}", lever.predicted) for lever in forecast.levers),
    ]


def table(forecast: Forecast) -> Table:
    """Return the cases of one device, one a row."""
    found = f"{forecast.recorded.steps:,} steps ({forecast.result.steps.found})"
    made = Table(title=plain(f"{device_label(forecast.result)}, {found}"), title_justify="left")
    made.add_column("")
    shown = [name for name in COLUMNS if name != TOKENS or forecast.recorded.tokens is not None]
    for column in shown:
        made.add_column(column, justify="right", no_wrap=True)
    for label, cells in rows(forecast):
        by_column = dict(zip(COLUMNS, cells, strict=True))
        made.add_row(plain(label), *(plain(by_column[column]) for column in shown))
    return made


def to_json(
    analysis: Analysis, forecasts: Sequence[Forecast], refused: Sequence[str]
) -> dict[str, Any]:
    """Return the document of `idlescope predict --json`."""
    devices = [forecast.to_json() for forecast in forecasts]
    return {
        "schema": SCHEMA,
        "source": analysis.source,
        "devices": devices,
        "cannot_tell": list(refused),
    }
