"""What a sweep shows: a row per cell and mode, and when a device stops idling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from types import NoneType
from typing import Any, NamedTuple, get_args

import msgspec

from idlescope.analysis.verdict.findings import BUSY_IDLE_PCT
from idlescope.experiment.cells import Cell, CellState
from idlescope.experiment.document import SweepRow
from idlescope.experiment.modes import Mode
from idlescope.experiment.statements import WORTH_SAYING
from idlescope.hardware.gpus import host_of
from idlescope.hardware.latencies import THIS_HOST

NOTHING = "–"  # of what no cell tells
MEASURED = "measured here"
PER_STEP = " per step"
Row = dict[str, Any]  # a SweepRow as JSON has it


def _column_types() -> dict[str, type]:
    """Return the columns of a row and what they hold where they hold anything."""
    columns = {}
    for column in msgspec.structs.fields(SweepRow):
        alternatives = get_args(column.type) or (column.type,)
        (columns[column.name],) = (kind for kind in alternatives if kind is not NoneType)
    return columns


COLUMNS = _column_types()
# what a row takes over from its mode's entry of summary.json
FIGURES = (
    "idle_ms_per_step",
    "host_ms_per_step",
    "device_ms_per_step",
    "total_s",
    "tokens_per_s",
    "roofline_pct",
    "steps",
    "tokens",
    "preemptions",
)


def rows(cells: Iterable[Cell]) -> list[Row]:
    """Return a row per cell and mode, in the order of the cells.

    Every row has all columns, None for what it lacks.
    """
    return [
        msgspec.to_builtins(sweep_row(cell, mode_swept))
        for cell in cells
        for mode_swept in cell.config.modes
    ]


def sweep_row(cell: Cell, mode: Mode) -> SweepRow:
    """Return the row of a cell in one mode."""
    config = cell.config
    figures = {} if cell.summary is None else _figures(cell.summary, mode)
    return SweepRow(
        model=config.model,
        device=config.device,
        host_ms=config.host_ms,
        batch_size=config.batch_size,
        mode=mode.value,
        state=cell.state.value,
        reason=cell.reason,
        **figures,
    )


def _figures(summary: dict[str, Any], mode: Mode) -> Row:
    """Return the figures of a cell that was run, from its summary.json."""
    figures = summary["modes"][mode]
    predicted, asynchronous = summary["predicted"], summary["modes"].get(Mode.ASYNC)
    predicted_s = predicted["total_s"] if predicted else None
    error_pct = None
    if predicted_s is not None and asynchronous is not None:
        error_pct = 100.0 * (predicted_s / asynchronous["total_s"] - 1.0)
    return {
        "device_name": summary["device"]["name"],
        "measured": summary["device"]["measured"],
        "idle_pct": 100.0 - figures["active_pct"],
        "tokens_per_step": figures["tokens"] / figures["steps"],
        "speedup": summary["speedup"],
        "predicted_s": predicted_s,
        "predicted_error_pct": error_pct,
        **{name: figures[name] for name in FIGURES},
    }


def answers(table: Sequence[Row]) -> list[str]:
    """Say for each model, device and host time when it stops idling and what asynchrony gives."""
    return [_answer(line_group) for line_group in _grid_lines(table)]


class ShortAnswer(NamedTuple):
    """What one line of the grid says, in a few words each."""

    model: str
    device: str
    host: str
    sync: str  # from which batch size on it is busy
    asynchronous: str
    faster: str  # how much the asynchronous mode is


def short_answers(table: Sequence[Row]) -> list[ShortAnswer]:
    """Return the same as `answers`, as the cells of a table."""
    return [_short_answer(group) for group in _grid_lines(table)]


def _grid_lines(table: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of each line of the grid: of one model, device and host time."""
    sweep_lines = groupby(table, lambda row: (row["model"], row["device"], row["host_ms"]))
    return [list(line_group) for _, line_group in sweep_lines]


def _short_answer(group: Sequence[Row]) -> ShortAnswer:
    rows_done = [row for row in group if row["state"] == CellState.DONE]
    sync, asynchronous = (
        _busy_from(_idle_by_size(rows_done, mode_swept)) for mode_swept in Mode
    )
    speedups = _speedups(rows_done)
    faster = NOTHING
    if speedups:
        best_size = max(speedups, key=lambda size: speedups[size])
        faster = f"{speedups[best_size]:.2f} × (batch {best_size})"
    model, device = group[0]["model"], group[0]["device"]
    host = _host(group).removesuffix(PER_STEP)
    return ShortAnswer(model, device, host, sync, asynchronous, faster)


def _busy_from(idle: dict[int, float]) -> str:
    """Return from which batch size on little is idle; `idle` by ascending batch size."""
    if not idle:
        return NOTHING
    batch_sizes = list(idle)
    idling = [batch_size for batch_size in batch_sizes if idle[batch_size] >= BUSY_IDLE_PCT]
    if not idling:
        return f"from batch {batch_sizes[0]}"
    last_idling = idling[-1]
    if last_idling == batch_sizes[-1]:
        return f"not to batch {last_idling}"
    return f"from batch {batch_sizes[batch_sizes.index(last_idling) + 1]}"


def _answer(group: Sequence[Row]) -> str:
    """Return the sentences of one line of the grid, whose rows ascend by batch size."""
    return " ".join([f"{_title(group)}.", *_findings(group)])


def _title(group: Sequence[Row]) -> str:
    """Return what a line of the grid is called, and where its host times are from."""
    first_row = group[0]
    host = _host(group)
    host_note = "host time measured" if host == MEASURED else f"host {host}"
    return f"{first_row['model']} on {first_row['device']}, {host_note}"


def _host(group: Sequence[Row]) -> str:
    """Return where the host times of a line of the grid are from."""
    first_row = group[0]
    if first_row["host_ms"] is not None:
        return f"{first_row['host_ms']:g} ms{PER_STEP}"
    device_names = (row["device_name"] for row in group if row["device_name"])
    profile = host_of(next(device_names, ""))
    return MEASURED if profile in (None, THIS_HOST) else str(profile)


def _idle_by_size(rows_done: Sequence[Row], mode: Mode) -> dict[int, float]:
    """Return the idle share of a mode by batch size."""
    of_mode = (row for row in rows_done if row["mode"] == mode)
    return {row["batch_size"]: row["idle_pct"] for row in of_mode}


def _speedups(rows_done: Sequence[Row]) -> dict[int, float]:
    """Return how much faster the asynchronous mode is, by batch size."""
    both = (row for row in rows_done if row["speedup"] is not None)
    return {row["batch_size"]: row["speedup"] for row in both}


def not_run(group: Sequence[Row]) -> str | None:
    """Return which cells of a line of the grid were not run, and why; None where all were."""
    missing = {
        row["batch_size"]: row["reason"] for row in group if row["state"] != CellState.DONE
    }
    if not missing:
        return None
    missing_sizes = ", ".join(map(str, missing))
    reasons = "; ".join(dict.fromkeys(missing.values()))
    return f"Not run: batch {missing_sizes} ({reasons})."


def all_not_run(table: Sequence[Row]) -> list[str]:
    """Return of each line of the grid which cells were not run, with its name."""
    said = ((_title(group), not_run(group)) for group in _grid_lines(table))
    return [f"{title}. {reasons}" for title, reasons in said if reasons is not None]


def _findings(group: Sequence[Row]) -> list[str]:
    """Return the sentences of one line of the grid, whose rows ascend by batch size."""
    rows_done = [row for row in group if row["state"] == CellState.DONE]
    findings = []
    for mode_swept in Mode:
        idle_by_size = _idle_by_size(rows_done, mode_swept)
        if idle_by_size:
            findings.append(f"{mode_swept.adjective}: {_stops_idling(idle_by_size)}.")
    if speedups := _speedups(rows_done):
        findings.append(f"{_gain(speedups)}.")
    missing = not_run(group)
    if missing is not None:
        findings.append(missing)
    return findings


def _stops_idling(idle: dict[int, float]) -> str:
    """Say from which batch size on all idle less than what is called busy.

    `idle` by ascending batch size.
    """
    batch_sizes = list(idle)
    busy_note = f"idle less than {BUSY_IDLE_PCT:g} %"
    idling = [batch_size for batch_size in batch_sizes if idle[batch_size] >= BUSY_IDLE_PCT]
    if not idling:
        return f"{busy_note} at every batch size from {batch_sizes[0]} to {batch_sizes[-1]}"
    last_idling = idling[-1]
    if last_idling == batch_sizes[-1]:
        idle_figures = _figures_at(idle, "{:.1f} %", batch_sizes[0], last_idling)
        return f"does not stop idling up to batch {last_idling} ({idle_figures})"
    size_index = batch_sizes.index(last_idling) + 1
    first_busy = batch_sizes[size_index]
    around = _figures_at(idle, "{:.1f} %", last_idling, first_busy)
    return f"{busy_note} from batch {first_busy} on ({around})"


def _gain(speedups: dict[int, float]) -> str:
    """Say what asynchronous batching gives; `speedups` by ascending batch size."""
    batch_sizes = list(speedups)
    best_size = max(speedups, key=lambda size: speedups[size])
    if speedups[best_size] < WORTH_SAYING:
        return "Asynchronous batching gains nothing"
    figures = _figures_at(
        speedups, "{:.2f} times", batch_sizes[0], best_size, batch_sizes[-1]
    )
    return f"Asynchronous batching is faster: {figures}"


def _figures_at(values: dict[int, float], form: str, *sizes: int) -> str:
    """Return the values at some batch sizes, in words."""
    figures = (
        f"{form.format(values[batch_size])} at batch {batch_size}"
        for batch_size in dict.fromkeys(sizes)
    )
    return ", ".join(figures)
