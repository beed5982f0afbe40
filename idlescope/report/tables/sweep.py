"""A sweep's table, on the terminal and in files, and the folder that it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.table import Table

from idlescope.experiment import answers
from idlescope.experiment.answers import COLUMNS, Row
from idlescope.experiment.config import RunConfig
from idlescope.experiment.run import environment
from idlescope.experiment.sweep import DONE, SCHEMA, Cell
from idlescope.report.figures import figures, heatmap
from idlescope.report.tables.terminal import plain
from idlescope.report.text import to_text

AXES = ("device", "model", "host_ms", "batch_size")
MARK = "sweep.json"
CELLS = "cells"


def document(configs: Sequence[RunConfig], cells: Sequence[Cell]) -> dict[str, Any]:
    """Return sweep.json (README.md, "JSON"): the grid, how far it is, the answers and the rows."""
    table = answers.rows(cells)
    states = [cell.state for cell in cells]
    return {
        "schema": SCHEMA,
        "grid": {axis: list(dict.fromkeys(getattr(c, axis) for c in configs)) for axis in AXES},
        "options": {name: value for name, value in asdict(configs[0]).items() if name not in AXES},
        "environment": environment(any(row["measured"] for row in table)),
        "cells": {
            "all": len(configs),
            **{state: states.count(state) for state in ("done", "refused", "failed")},
        },
        "answers": answers.answers(table),
        "rows": table,
    }


def mark(summary: dict[str, Any], folder: Path) -> Path:
    """Write sweep.json and return its path: a folder that has it is a sweep's."""
    (folder / MARK).write_text(to_text(summary), encoding="utf-8")
    return folder / MARK


def write(summary: dict[str, Any], folder: Path) -> list[Path]:
    """Write sweep.json, and where there are rows the table and the heat maps; return the paths."""
    table: list[Row] = summary["rows"]
    written = [mark(summary, folder)]
    if table:
        written += [folder / "table.csv", folder / "table.parquet"]
        _tables(table, *written[1:])
        written += figures.save(heatmap.draw(table), folder / "figures")
    return written


def _tables(table: list[Row], csv_path: Path, parquet_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv, parquet

    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    columns = pa.Table.from_pylist(
        table, schema=pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    )
    csv.write_csv(columns, csv_path)
    parquet.write_table(columns, parquet_path)


def terminal_tables(table: Sequence[Row]) -> list[Table]:
    """Return a table a device: a line a cell, its modes side by side; host and device work in ms a step."""
    return [_device_table(list(rows)) for _, rows in groupby(table, lambda row: row["device"])]


def _device_table(rows: list[Row]) -> Table:
    name = next((row["device_name"] for row in rows if row["device_name"]), rows[0]["device"])
    kind = "measured" if any(row["measured"] for row in rows) else "modelled, not measured"
    table = Table(title=plain(f"{name} · {kind}"), title_justify="left")
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    table.add_column("model", no_wrap=True)
    idle = (f"idle %\n{mode}" for mode in modes)
    for label in (
        "batch",
        "host\nms",
        "device\nms",
        *idle,
        f"tokens/s\n{modes[-1]}",
        "times\nfaster",
    ):
        table.add_column(label, justify="right")
    for (model, _, batch), group in groupby(
        rows, lambda row: (row["model"], row["host_ms"], row["batch_size"])
    ):
        cell = list(group)
        first, last = cell[0], cell[-1]
        figures = [
            _shown(first["host_ms_per_step"], "{:.3f}"),
            _shown(first["device_ms_per_step"], "{:.3f}"),
            *(_shown(row["idle_pct"], "{:.2f}") for row in cell),
            _shown(last["tokens_per_s"], "{:,.0f}"),
            _shown(first["speedup"], "{:.3f}"),
        ]
        if first["state"] != DONE:
            figures[0] = first["state"]
        table.add_row(*map(plain, (model, batch, *figures)))
    return table


def _shown(figure: float | None, form: str) -> str:
    return "–" if figure is None else form.format(figure)
