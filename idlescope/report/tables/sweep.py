"""A sweep as a document, as tables on the terminal, and as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from idlescope.analysis.verdict.findings import BUSY_IDLE_PCT
from idlescope.experiment import answers
from idlescope.experiment.answers import COLUMNS, Row
from idlescope.experiment.cells import Cell, CellState
from idlescope.experiment.config import RunConfig
from idlescope.experiment.document import SCHEMA
from idlescope.experiment.environment import environment
from idlescope.report.tables.terminal import empty_table, plain
from idlescope.report.text import NOTHING, as_cell, to_text
from idlescope.trace.unseen import spelled

if TYPE_CHECKING:
    import pyarrow as pa

AXES = ("device", "model", "host_ms", "batch_size")
MARK = "sweep.json"  # a folder that has it is a sweep's
CELLS = "cells"


def document(configs: Sequence[RunConfig], cells: Sequence[Cell]) -> dict[str, Any]:
    """Return sweep.json (report/README.md): the grid, how far it is, the answers and the rows."""
    sweep_table = answers.rows(cells)
    axis_values = {
        axis_name: list(
            dict.fromkeys(getattr(cell_config, axis_name) for cell_config in configs)
        )
        for axis_name in AXES
    }
    options = {
        option_name: option_value
        for option_name, option_value in asdict(configs[0]).items()
        if option_name not in AXES
    }
    cell_states = [cell.state for cell in cells]
    return {
        "schema": SCHEMA,
        "grid": axis_values,
        "options": options,
        "environment": environment(any(row["measured"] for row in sweep_table)),
        "cells": {
            "all": len(configs),
            **{cell_state.value: cell_states.count(cell_state) for cell_state in CellState},
        },
        "answers": answers.answers(sweep_table),
        "rows": sweep_table,
    }


def mark(summary: dict[str, Any], folder: Path) -> Path:
    """Write sweep.json and return its path."""
    mark_path = folder / MARK
    mark_path.write_text(to_text(summary), encoding="utf-8")
    return mark_path


def write_rows(table: list[Row], csv_path: Path, parquet_path: Path) -> None:
    """Write the rows of a sweep as CSV and as Parquet."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    arrow_types = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    schema = pa.schema(
        [
            (column_name, arrow_types[column_type])
            for column_name, column_type in COLUMNS.items()
        ]
    )
    columns = pa.Table.from_pylist(table, schema=schema)
    csv.write_csv(_without_formulas(columns), csv_path)
    parquet.write_table(columns, parquet_path)


ANSWER_COLUMNS = ("model", "device", "host", "sync busy", "async busy", "async faster")


def answer_table(table: Sequence[Row]) -> Table:
    """Return a row for each line of the grid: from which batch size on its device is busy."""
    found = answers.short_answers(table)
    answered = empty_table(f"Busy: idle less than {BUSY_IDLE_PCT:g} % of the time")
    for column in ANSWER_COLUMNS:
        answered.add_column(column, no_wrap=column == "device")
    for answer in found:
        answered.add_row(*map(plain, answer))
    return answered


def _without_formulas(columns: pa.Table) -> pa.Table:
    """Return a table whose texts are no formulas to spreadsheets."""
    import pyarrow as pa

    for index, field in enumerate(columns.schema):
        if field.type == pa.string():
            texts = [
                None if text is None else as_cell(spelled(text))
                for text in columns.column(index).to_pylist()
            ]
            columns = columns.set_column(index, field, pa.array(texts, pa.string()))
    return columns


def terminal_tables(table: Sequence[Row]) -> list[Table]:
    """Return a table for each device: a line for each cell, its modes side by side."""
    return [
        _device_table(list(device_rows))
        for _, device_rows in groupby(table, lambda row: row["device"])
    ]


def _device_table(rows: list[Row]) -> Table:
    modes_swept = list(dict.fromkeys(row["mode"] for row in rows))
    device_table = empty_table(_title(rows))
    device_table.add_column("model", no_wrap=True)
    for column_label in _labels(modes_swept):
        device_table.add_column(column_label, justify="right")
    for (model_name, _, batch_size), cell_rows in groupby(rows, _cell_key):
        figures = _figures(list(cell_rows))
        device_table.add_row(*map(plain, (model_name, batch_size, *figures)))
    return device_table


def _title(rows: list[Row]) -> str:
    """Return what a device is called, its option where no cell ran, and whether it is modelled."""
    device_names = (row["device_name"] for row in rows if row["device_name"])
    device_name = next(device_names, rows[0]["device"])
    measured = any(row["measured"] for row in rows)
    return f"{device_name} · {'measured' if measured else 'modelled, not measured'}"


def _labels(modes: Sequence[str]) -> list[str]:
    """Return what the columns behind the model's are called; work is in ms for each step."""
    idle_labels = (f"idle %\n{mode_name}" for mode_name in modes)
    rate_label = f"tokens/s\n{modes[-1]}"
    return ["batch", "host\nms", "device\nms", *idle_labels, rate_label, "times\nfaster"]


def _cell_key(row: Row) -> tuple[Any, ...]:
    return row["model"], row["host_ms"], row["batch_size"]


def _figures(cell: list[Row]) -> list[str]:
    """Return the cells of a line, of the rows of its modes."""
    first_row, last_row = cell[0], cell[-1]
    host_time = _number(first_row["host_ms_per_step"], "{:.3f}")
    if first_row["state"] != CellState.DONE:
        host_time = first_row["state"]
    return [
        host_time,
        _number(first_row["device_ms_per_step"], "{:.3f}"),
        *(_number(row["idle_pct"], "{:.2f}") for row in cell),
        _number(last_row["tokens_per_s"], "{:,.0f}"),
        _number(first_row["speedup"], "{:.3f}"),
    ]


def _number(figure: float | None, form: str) -> str:
    return NOTHING if figure is None else form.format(figure)
