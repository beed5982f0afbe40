"""What a trace's steps would take otherwise, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table

from idlescope.analysis.prediction.documents import SCHEMA, PredictionsDocument
from idlescope.analysis.prediction.outcome import Outcome
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.result import Analysis
from idlescope.report.tables.terminal import NARROW, Rows, empty_table, plain
from idlescope.report.text import NOTHING, milliseconds
from idlescope.report.work_line import device_label

TOKENS = "tokens/s"
IN_ALL = "in all"
COLUMNS = ("per step", IN_ALL, TOKENS, "compute idle", "saves")


def rows(prediction: Prediction) -> Rows:
    """Return the cases: as recorded, as asked for, with no host work, and with further changes.

    Each is a label and the cells of COLUMNS.
    """
    return [
        (case_label, _cells(outcome, prediction.recorded))
        for case_label, outcome in prediction.cases()
    ]


def _cells(outcome: Outcome, recorded: Outcome) -> list[str]:
    token_rate, time_saved = NOTHING, NOTHING
    if outcome.tokens_per_s is not None:
        token_rate = f"{outcome.tokens_per_s:,.0f}"
    if outcome is not recorded:
        time_saved = f"{100 * outcome.less_than(recorded):.1f} %"
    return [
        f"{outcome.step_ns / 1e6:,.2f} ms",
        milliseconds(outcome.total_ns),
        token_rate,
        f"{outcome.compute_idle_pct:.2f} %",
        time_saved,
    ]


def table(prediction: Prediction, width: int = NARROW) -> Table:
    """Return the cases of one device, one a row; without tokens where they are not known.

    On a terminal of few columns (`width`) what follows from the time per step is left out.
    """
    device = prediction.result
    steps_found = f"{prediction.recorded.steps:,} steps ({device.steps.found})"
    cases_table = empty_table(f"{device_label(device)}, {steps_found}")
    cases_table.add_column("")
    tokens_known = prediction.recorded.tokens is not None
    left_out = set() if tokens_known else {TOKENS}
    if width < NARROW:
        left_out |= {IN_ALL, TOKENS}
    shown_columns = [column for column in COLUMNS if column not in left_out]
    for column in shown_columns:
        cases_table.add_column(column, justify="right", no_wrap=True)
    for case_label, row_cells in rows(prediction):
        by_column = dict(zip(COLUMNS, row_cells, strict=True))
        cases_table.add_row(
            plain(case_label), *(plain(by_column[column]) for column in shown_columns)
        )
    return cases_table


def to_json(
    analysis: Analysis, predictions: Sequence[Prediction], refused: Sequence[str]
) -> dict[str, Any]:
    """Return the document of `idlescope predict --json` (report/README.md).

    `refused` says of which devices nothing can be predicted, and why.
    """
    document = PredictionsDocument(
        schema=SCHEMA,
        source=analysis.source,
        devices=[prediction.document() for prediction in predictions],
        cannot_tell=list(refused),
    )
    return dict(msgspec.to_builtins(document))
