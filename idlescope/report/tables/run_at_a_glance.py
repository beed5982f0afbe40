"""The first table of a run: the few rows that answer how much is lost, and to what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.table import Table

from idlescope.analysis.idle.host_labels import NO_DEMAND
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
    rows = [*_paces(modes), *_idle_shares(modes)]
    if summary["load"] is not None:
        latencies = [latency_row(modes, label, FEW_PERCENTILES) for label in LATENCIES]
        rows = [*latencies, *_idle_at_load(summary["load"], list(summary["modes"]))]
    rows += [
        _row("idle per step", modes, _idle_per_step),
        _row(f"{INDENT}most of it", modes, _main_cause),
        _row("host work per step", modes, lambda mode: _ms(mode["host_ms_per_step"])),
        _row("device work per step", modes, lambda mode: _ms(mode["device_ms_per_step"])),
    ]
    if any(mode["roofline_pct"] is not None for mode in modes):
        rows.append(_row("roofline", modes, _roofline))
    return rows


def _row(
    label: str, modes: list[ModeSummary], cell_of: Callable[[ModeSummary], str]
) -> tuple[str, list[str]]:
    return label, [cell_of(mode) for mode in modes]


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.3f} ms"


def _idle_shares(modes: list[ModeSummary]) -> Rows:
    """Return the two shares of idle time, with and without copies."""
    return [
        ("idle", [f"{100 - mode['active_pct']:.2f} %" for mode in modes]),
        ("compute idle", [f"{100 - mode['compute_pct']:.2f} %" for mode in modes]),
    ]


def _idle_at_load(load: dict[str, Any], modes: list[str]) -> Rows:
    """Return idle time while there are requests, and the time without any."""
    return [
        (
            "idle with requests",
            [f"{load['idle_with_work_pct'][mode]:.2f} %" for mode in modes],
        ),
        ("no request there", [f"{load['no_demand_pct'][mode]:.2f} %" for mode in modes]),
    ]


def _idle_per_step(mode: ModeSummary) -> str:
    return _ms(mode["idle_ms_per_step"])


def _no_demand_ns(mode: ModeSummary) -> int:
    return int(mode["host_ns"].get(NO_DEMAND, 0))


def _main_cause(mode: ModeSummary) -> str:
    """Return the largest cause of a mode's idle time, and its share of it."""
    missing_ns = _no_demand_ns(mode)
    causes = {**mode["cause_ns"], "host": mode["cause_ns"]["host"] - missing_ns}
    cause = max(causes, key=lambda name: causes[name])
    if not causes[cause]:
        return NOTHING
    return f"{cause} {share(causes[cause], mode['idle_ns'] - missing_ns)}"


def _paces(modes: list[ModeSummary]) -> Rows:
    """Return how fast each mode was."""
    return [
        ("total time", [f"{mode['total_s']:,.2f} s" for mode in modes]),
        ("tokens/s", [f"{mode['tokens_per_s']:,.0f}" for mode in modes]),
    ]


def _roofline(mode: ModeSummary) -> str:
    pct = mode["roofline_pct"]
    return NOTHING if pct is None else f"{pct:.1f} %"
