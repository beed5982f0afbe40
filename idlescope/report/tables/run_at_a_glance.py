"""The first table of a run: the few rows that answer how much is lost, and to what."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from idlescope.report.tables.runs import LATENCIES, latency_row, mode_titles
from idlescope.report.tables.terminal import INDENT, Rows, side_by_side
from idlescope.report.text import NOTHING, share

FEW_PERCENTILES = (50, 99)
ModeSummary = dict[str, Any]  # an entry of `modes` in summary.json


def glance_table(summary: dict[str, Any]) -> Table:
    """Return the modes of a run side by side, of its summary (summary.json)."""
    return side_by_side("", mode_titles(summary), glance_rows(summary))


def glance_rows(summary: dict[str, Any]) -> Rows:
    """Return the rows of `glance_table`: a label, and one cell for each mode.

    Where requests arrive during the run, how long they take stands instead of how long it all does.
    """
    modes = list(summary["modes"].values())
    rows = _paces(modes)
    if summary["load"] is not None:
        rows = [latency_row(modes, label, FEW_PERCENTILES) for label in LATENCIES]
    rows += [
        ("idle", [f"{100 - mode['active_pct']:.2f} %" for mode in modes]),
        ("compute idle", [f"{100 - mode['compute_pct']:.2f} %" for mode in modes]),
        ("idle per step", [f"{mode['idle_ms_per_step']:.3f} ms" for mode in modes]),
        (f"{INDENT}most of it", [_main_cause(mode) for mode in modes]),
        ("host work per step", [f"{mode['host_ms_per_step']:.3f} ms" for mode in modes]),
        (
            "device work per step",
            [f"{mode['device_ms_per_step']:.3f} ms" for mode in modes],
        ),
    ]
    if any(mode["roofline_pct"] is not None for mode in modes):
        rows.append(("roofline", [_roofline(mode) for mode in modes]))
    return rows


def _main_cause(mode: ModeSummary) -> str:
    """Return the largest cause of a mode's idle time, and its share of it."""
    causes = mode["cause_ns"]
    cause = max(causes, key=lambda name: causes[name])
    return f"{cause} {share(causes[cause], mode['idle_ns'])}" if causes[cause] else NOTHING


def _paces(modes: list[ModeSummary]) -> Rows:
    """Return how fast each mode was."""
    return [
        ("total time", [f"{mode['total_s']:,.2f} s" for mode in modes]),
        ("tokens/s", [f"{mode['tokens_per_s']:,.0f}" for mode in modes]),
    ]


def _roofline(mode: ModeSummary) -> str:
    pct = mode["roofline_pct"]
    return NOTHING if pct is None else f"{pct:.1f} %"
