"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from idlescope.analysis.causes import CAUSES
from idlescope.analysis.result import Analysis, DeviceResult, percent
from idlescope.report.palette import milliseconds

HOST_SHOWN = 6  # largest divisions of `host` in a table
TITLES = {"sync": "synchronous", "async": "asynchronous"}


def mode_rows(summary: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the side-by-side table of a run's summary: a label, and one cell a mode."""
    modes = summary["modes"].values()

    def row(label: str, key: str, form: str) -> tuple[str, list[str]]:
        return label, ["–" if m[key] is None else form.format(m[key]) for m in modes]

    rows = [
        row("total time", "total_s", "{:,.2f} s"),
        row("tokens/s", "tokens_per_s", "{:,.1f}"),
        row("steps", "steps", "{:,}"),
        row("GPU active", "active_pct", "{:.2f} %"),
        row("GPU compute", "compute_pct", "{:.2f} %"),
        row("idle a step", "idle_ms_per_step", "{:.3f} ms"),
        row("host work a step", "host_ms_per_step", "{:.3f} ms"),
        row("device work a step", "device_ms_per_step", "{:.3f} ms"),
        row("roofline", "roofline_pct", "{:.1f} %"),
    ]
    if foretold := summary["predicted"]:
        text = f"{foretold['total_s']:,.2f} s ± {foretold['high_s'] - foretold['total_s']:,.2f}"
        rows.insert(1, ("  predicted from sync", [text if mode == "async" else "–" for mode in summary["modes"]]))
    if any(m["preemptions"] for m in modes):
        rows.append(row("preemptions", "preemptions", "{:,}"))

    def part(m: dict[str, Any], ns: int) -> str:
        return f"{ns / m['steps'] / 1e6:.3f} ms ({share(ns, m['idle_ns'])})" if ns else "–"

    rows += [(f"idle a step: {cause}", [part(m, m["cause_ns"][cause]) for m in modes]) for cause in CAUSES]
    largest: dict[str, float] = {}
    for m in modes:
        for name, ns in m["host_ns"].items():
            largest[name] = max(largest.get(name, 0.0), ns / m["steps"])
    top = sorted(largest, key=lambda name: (-largest[name], name))[:HOST_SHOWN]
    rows += [(f"  host: {shorten(name, 32)}", [part(m, m["host_ns"].get(name, 0)) for m in modes]) for name in top]
    return rows


def run_table(summary: dict[str, Any]) -> Table:
    """Return the modes of a run side by side, from its summary."""
    kind = "measured" if summary["device"]["measured"] else "modelled, not measured"
    columns = [TITLES[mode] for mode in summary["modes"]]
    return _table(f"{summary['device']['name']} · {kind}", columns, mode_rows(summary))


def device_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return the figures of a trace's devices: a label, and one cell a device."""
    devices, rows = analysis.devices, []
    rows.append(("operations", [f"{len(d.operations):,}" for d in devices]))
    rows.append(("window, first to last operation", [milliseconds(d.occupancy.window_ns) for d in devices]))
    for label in ("active", "compute", "copy only", "idle", "compute idle"):
        parts = [(getattr(d.occupancy, label.replace(" ", "_") + "_ns"), d.occupancy.window_ns) for d in devices]
        rows.append((label, [f"{milliseconds(ns)} ({percent(ns, window):.2f} %)" for ns, window in parts]))
    rows.append(("gaps", [f"{len(d.gaps):,}" for d in devices]))
    if any(len(d.steps) for d in devices):
        rows.append(("steps", [f"{len(d.steps):,} ({d.steps.found})" if len(d.steps) else "–" for d in devices]))
        per_step = [d.occupancy.idle_ns / len(d.steps) if len(d.steps) else None for d in devices]
        rows.append(("idle a step", ["–" if ns is None else milliseconds(ns) for ns in per_step]))
    return rows


def cause_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return idle time by cause, `host` divided by its largest parts: a label, and one cell a device."""
    rows = []
    for cause in CAUSES:
        rows.append((cause, [_of_idle(d, d.gaps.totals()[cause]) for d in analysis.devices]))
        if cause == "host":
            for name in top_host(analysis.devices):
                cells = [_of_idle(d, d.host_ns.get(name, 0)) for d in analysis.devices]
                rows.append((f"  {shorten(name, 36)}", cells))
    return rows


def analysis_tables(analysis: Analysis) -> list[Table]:
    """Return a table of the devices of a trace, and one of their idle time by cause."""
    columns = [device_label(device) for device in analysis.devices]
    causes = _table("Idle by cause, % of idle", columns, cause_rows(analysis))
    return [_table("Devices", columns, device_rows(analysis)), causes]


def _table(title: str, columns: list[str], rows: list[tuple[str, list[str]]]) -> Table:
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(escape(column), justify="right")
    for label, cells in rows:
        table.add_row(escape(label), *cells)
    return table


def _of_idle(device: DeviceResult, ns: int) -> str:
    return f"{milliseconds(ns)} ({share(ns, device.occupancy.idle_ns)})" if ns else "–"


def device_label(result: DeviceResult) -> str:
    """Return what a device is called in tables."""
    return f"{result.device.index} {result.device.name}".strip()


def top_host(devices: Sequence[DeviceResult]) -> list[str]:
    """Return the largest divisions of `host` idle over all devices."""
    sums: dict[str, int] = {}
    for device in devices:
        for name, ns in device.host_ns.items():
            sums[name] = sums.get(name, 0) + ns
    return sorted(sums, key=lambda name: (-sums[name], name))[:HOST_SHOWN]


def share(part: int, whole: int) -> str:
    """Return a part of the idle time in per cent."""
    return f"{percent(part, whole):.1f} %" if part else "–"


def shorten(name: str, width: int = 60) -> str:
    """Return a name that fits a table: the middle of a long one is left out."""
    return name if len(name) <= width else f"{name[: width - 21]}…{name[-20:]}"
