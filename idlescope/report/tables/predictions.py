"""What a trace's steps would take otherwise, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from idlescope.analysis.prediction.forecast import Forecast
from idlescope.analysis.prediction.what_if import IN_WORDS, Prediction
from idlescope.analysis.result import Analysis
from idlescope.report.tables.terminal import Rows, plain
from idlescope.report.text import NOTHING, milliseconds
from idlescope.report.work_line import device_label

SCHEMA = 1
TOKENS = "tokens/s"
COLUMNS = ("a step", "in all", TOKENS, "comp. idle", "saves")


def rows(forecast: Forecast) -> Rows:
    """Return the cases: as recorded, as asked for, with no host work, and with further changes.

    Each is a label and the cells of COLUMNS.
    """
    recorded = forecast.recorded
    batching = IN_WORDS.get(forecast.depth or 0, "serialised")
    cases = [
        (f"recorded, {batching}", recorded),
        (forecast.what.text(), forecast.predicted),
        ("  + host that is free", forecast.bound),
        *((f"  + {lever.name}", lever.predicted) for lever in forecast.levers),
    ]
    return [(label, _cells(prediction, recorded)) for label, prediction in cases]


def _cells(prediction: Prediction, recorded: Prediction) -> list[str]:
    rate, saved = NOTHING, NOTHING
    if prediction.tokens_per_s is not None:
        rate = f"{prediction.tokens_per_s:,.0f}"
    if prediction is not recorded:
        saved = f"{100 * prediction.less_than(recorded):.1f} %"
    return [
        f"{prediction.step_ns / 1e6:,.2f} ms",
        milliseconds(prediction.total_ns),
        rate,
        f"{prediction.compute_idle_pct:.2f} %",
        saved,
    ]


def table(forecast: Forecast) -> Table:
    """Return the cases of one device, one a row; without tokens where they are not known."""
    device = forecast.result
    found = f"{forecast.recorded.steps:,} steps ({device.steps.found})"
    made = Table(title=plain(f"{device_label(device)}, {found}"), title_justify="left")
    made.add_column("")
    tokens_known = forecast.recorded.tokens is not None
    shown = [column for column in COLUMNS if tokens_known or column != TOKENS]
    for column in shown:
        made.add_column(column, justify="right", no_wrap=True)
    for label, cells in rows(forecast):
        by_column = dict(zip(COLUMNS, cells, strict=True))
        made.add_row(plain(label), *(plain(by_column[column]) for column in shown))
    return made


def to_json(
    analysis: Analysis, forecasts: Sequence[Forecast], refused: Sequence[str]
) -> dict[str, Any]:
    """Return the document of `idlescope predict --json` (report/README.md).

    `refused` says of which devices nothing can be predicted, and why.
    """
    return {
        "schema": SCHEMA,
        "source": analysis.source,
        "devices": [forecast.to_json() for forecast in forecasts],
        "cannot_tell": list(refused),
    }
