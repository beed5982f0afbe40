"""What a sweep shows: a row of figures a cell and mode, and from which batch size on a device stops idling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from idlescope.analysis.verdict.verdict import BUSY_IDLE_PCT
from idlescope.experiment.run import WORTH_SAYING
from idlescope.experiment.sweep import DONE, Cell
from idlescope.trace.names.own_engine import DEPTHS

Row = dict[str, Any]
# a row's columns: whose they are, and their type
COLUMNS: dict[str, type] = {
    "model": str, "device": str, "host_ms": float, "batch_size": int, "mode": str,  # the cell; host_ms if it was fixed
    "state": str, "reason": str,  # done, refused or failed, and why
    "device_name": str, "measured": bool,
    "idle_pct": float, "idle_ms_per_step": float, "host_ms_per_step": float, "device_ms_per_step": float,
    "total_s": float, "tokens_per_s": float, "roofline_pct": float, "steps": int, "tokens": int,
    "tokens_per_step": float,  # less than the batch size where not all requests have room at once
    "preemptions": int,
    "speedup": float,  # of the cell: synchronous over asynchronous time
    "predicted_s": float, "predicted_error_pct": float,  # of the cell: async as predicted, and how far off that was
}  # fmt: skip
FIGURES = (
    "idle_ms_per_step", "host_ms_per_step", "device_ms_per_step", "total_s", "tokens_per_s", "roofline_pct", "steps",
    "tokens", "preemptions",
)  # fmt: skip
ADJECTIVES = {"sync": "Synchronous", "async": "Asynchronous"}


def rows(cells: Iterable[Cell]) -> list[Row]:
    """Return a row a cell and mode, in the order of the cells; every row has all columns, None for what it lacks."""
    return [_row(cell, mode) for cell in cells for mode in cell.config.modes]


def _row(cell: Cell, mode: str) -> Row:
    c, figures = cell.config, {}
    if cell.summary is not None:
        of = cell.summary["modes"][mode]
        predicted, later = cell.summary["predicted"], cell.summary["modes"].get("async")
        figures = {
            "device_name": cell.summary["device"]["name"],
            "measured": cell.summary["device"]["measured"],
            "idle_pct": 100.0 - of["active_pct"],
            "tokens_per_step": of["tokens"] / of["steps"],
            "speedup": cell.summary["speedup"],
            "predicted_s": predicted and predicted["total_s"],
            "predicted_error_pct": predicted
            and later
            and 100.0 * (predicted["total_s"] / later["total_s"] - 1.0),
            **{name: of[name] for name in FIGURES},
        }
    known = {
        "model": c.model, "device": c.device, "host_ms": c.host_ms, "batch_size": c.batch_size, "mode": mode,
        "state": cell.state, "reason": cell.reason, **figures,
    }  # fmt: skip
    return dict.fromkeys(COLUMNS) | known


def answers(table: Sequence[Row]) -> list[str]:
    """Return sentences for each model, device and host cost: when it stops idling, and what asynchrony gives."""
    return [
        " ".join([f"{_line(*key)}.", *_findings(list(group))])
        for key, group in groupby(table, lambda r: (r["model"], r["device"], r["host_ms"]))
    ]


def _line(model: str, device: str, host_ms: float | None) -> str:
    host = "host time measured" if host_ms is None else f"host {host_ms:g} ms a step"
    return f"{model} on {device}, {host}"


def _findings(group: Sequence[Row]) -> list[str]:
    done = [row for row in group if row["state"] == DONE]
    found = []
    for mode in DEPTHS:
        if idle := {row["batch_size"]: row["idle_pct"] for row in done if row["mode"] == mode}:
            found.append(f"{ADJECTIVES[mode]}: {_stops_idling(idle)}.")
    if gains := {row["batch_size"]: row["speedup"] for row in done if row["speedup"] is not None}:
        found.append(f"{_gain(gains)}.")
    if lacking := {row["batch_size"]: row["reason"] for row in group if row["state"] != DONE}:
        reasons = "; ".join(dict.fromkeys(lacking.values()))
        found.append(f"Not run: batch {', '.join(map(str, lacking))} ({reasons}).")
    return found


def _stops_idling(idle: dict[int, float]) -> str:
    """Say from which batch size on all idle less than what is called busy; `idle` by ascending batch size."""
    sizes = list(idle)
    still = [size for size in sizes if idle[size] >= BUSY_IDLE_PCT]
    if still and still[-1] == sizes[-1]:
        return f"does not stop idling up to batch {sizes[-1]} ({_at(idle, '{:.1f} %', sizes[0], sizes[-1])})"
    if not still:
        return (
            f"idle less than {BUSY_IDLE_PCT:g} % at every batch size from {sizes[0]} to {sizes[-1]}"
        )
    first = sizes[sizes.index(still[-1]) + 1]
    return f"idle less than {BUSY_IDLE_PCT:g} % from batch {first} on ({_at(idle, '{:.1f} %', still[-1], first)})"


def _gain(gains: dict[int, float]) -> str:
    sizes = list(gains)
    most = max(gains, key=lambda size: gains[size])
    if gains[most] < WORTH_SAYING:
        return "Asynchronous batching gains nothing"
    return (
        f"Asynchronous batching is faster: {_at(gains, '{:.2f} times', sizes[0], most, sizes[-1])}"
    )


def _at(values: dict[int, float], form: str, *sizes: int) -> str:
    """Return the values at some batch sizes, in words."""
    return ", ".join(
        f"{form.format(values[size])} at batch {size}" for size in dict.fromkeys(sizes)
    )
