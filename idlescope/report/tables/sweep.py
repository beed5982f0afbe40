"""A sweep as a document, as tables on the terminal, and as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.table import Table

from idlescope.experiment import answers
from idlescope.experiment.answers import COLUMNS, Row
from idlescope.experiment.cells import Cell, CellState
from idlescope.experiment.config import RunConfig
from idlescope.experiment.document import SCHEMA
from idlescope.experiment.environment import environment
from idlescope.report.tables.terminal import plain
from idlescope.report.text import NOTHING, to_text

AXES = ("device", "model", "host_ms", "batch_size")
MARK = "sweep.json"  # a folder that has it is a sweep's
CELLS = "cells"


def document(configs: Sequence[RunConfig], cells: Sequence[Cell]) -> dict[str, Any]:
    """Return sweep.json (report/README.md): the grid, how far it is, the answers and the rows."""
    table = answers.rows(cells)
    grid = {axis: list(dict.fromkeys(getattr(c, axis) for c in configs)) for axis in AXES}
    options = {name: value for name, value in asdict(configs[0]).items() if name not in AXES}
    states = [cell.state for cell in cells]
    return {
        "schema": SCHEMA,
        "grid": grid,
        "options": options,
        "environment": environment(any(row["measured"] for row in table)),
        "cells": {
            "all": len(configs),
            **{state.value: states.count(state) for state in CellState},
        },
        "answers": answers.answers(table),
        "rows": table,
    }


def mark(summary: dict[str, Any], folder: Path) -> Path:
    """Write sweep.json and return its path."""
    path = folder / MARK
    path.write_text(to_text(summary), encoding="utf-8")
    return path


def write_rows(table: list[Row], csv_path: Path, parquet_path: Path) -> None:
    """Write the rows of a sweep as CSV and as Parquet."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    arrow_types = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    schema = pa.schema([(name, arrow_types[kind]) for name, kind in COLUMNS.items()])
    columns = pa.Table.from_pylist(table, schema=schema)
    csv.write_csv(columns, csv_path)
    parquet.write_table(columns, parquet_path)


def terminal_tables(table: Sequence[Row]) -> list[Table]:
    """Return a table for each device: a line for each cell, its modes side by side."""
    return [_device_table(list(rows)) for _, rows in groupby(table, lambda row: row["device"])]


def _device_table(rows: list[Row]) -> Table:
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    table = Table(title=plain(_title(rows)), title_justify="left")
    table.add_column("model", no_wrap=True)
    for label in _labels(modes):
        table.add_column(label, justify="right")
    for (model, _, batch_size), cell in groupby(rows, _cell_key):
        figures = _figures(list(cell))
        table.add_row(*map(plain, (model, batch_size, *figures)))
    return table


def _title(rows: list[Row]) -> str:
    """Return what a device is called, its option where no cell ran, and whether it is modelled."""
    names = (row["device_name"] for row in rows if row["device_name"])
    name = next(names, rows[0]["device"])
    measured = any(row["measured"] for row in rows)
    return f"{name} · {'measured' if measured else 'modelled, not measured'}"


def _labels(modes: Sequence[str]) -> list[str]:
    """Return what the columns behind the model's are called; work is in ms for each step."""
    idle = (f"idle %\n{mode}" for mode in modes)
    rate = f"tokens/s\n{modes[-1]}"
    return ["batch", "host\nms", "device\nms", *idle, rate, "times\nfaster"]


def _cell_key(row: Row) -> tuple[Any, ...]:
    return row["model"], row["host_ms"], row["batch_size"]


def _figures(cell: list[Row]) -> list[str]:
    """Return the cells of a line, of the rows of its modes."""
    first, last = cell[0], cell[-1]
    host = _number(first["host_ms_per_step"], "{:.3f}")
    if first["state"] != CellState.DONE:
        host = first["state"]
    return [
        host,
        _number(first["device_ms_per_step"], "{:.3f}"),
        *(_number(row["idle_pct"], "{:.2f}") for row in cell),
        _number(last["tokens_per_s"], "{:,.0f}"),
        _number(first["speedup"], "{:.3f}"),
    ]


def _number(figure: float | None, form: str) -> str:
    return NOTHING if figure is None else form.format(figure)
