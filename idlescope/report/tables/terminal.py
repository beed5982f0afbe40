"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.stacks import LongGap
from idlescope.analysis.intervals import percent
from idlescope.analysis.latency import PERCENTILES
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps.window import FIRST_LAST
from idlescope.palette import CAUSE, MODE
from idlescope.report.text import milliseconds, visible

HOST_SHOWN = 6  # largest divisions of `host` in a table
GAPS_SHOWN = 5
DEVICES_BESIDE = 4  # in one table; more go into further ones
STACK_SHOWN = 3  # innermost names of a gap's stack
DOUBT = "~"  # marks a figure that lost records could change
LATENCIES = {
    "TTFT": "ttft_ms",
    "time per output token": "time_per_output_token_ms",
    "latency": "latency_ms",
}
CLOCKS = ("step clock", "profiler")
TITLES = {"sync": "synchronous", "async": "asynchronous"}
A_STEP = "idle a step: "
STYLES = {TITLES[mode]: color for mode, color in MODE.items()} | {
    f"{before}{cause}": color for cause, color in CAUSE.items() for before in ("", A_STEP)
}  # of what names a mode or a cause


def mode_rows(summary: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the side-by-side table of a run's summary: a label, and one cell a mode."""
    modes = summary["modes"].values()

    def row(label: str, key: str, form: str) -> tuple[str, list[str]]:
        return label, ["–" if m[key] is None else form.format(m[key]) for m in modes]

    rows = [
        row("total time", "total_s", "{:,.2f} s"),
        row("tokens/s", "tokens_per_s", "{:,.1f}"),
        row("steps", "steps", "{:,}"),
        row("device active", "active_pct", "{:.2f} %"),
        row("device compute", "compute_pct", "{:.2f} %"),
        row("idle a step", "idle_ms_per_step", "{:.3f} ms"),
        row("host work a step", "host_ms_per_step", "{:.3f} ms"),
        row("device work a step", "device_ms_per_step", "{:.3f} ms"),
        row("roofline", "roofline_pct", "{:.1f} %"),
    ]
    for label, key in LATENCIES.items():
        if any(m[key] for m in modes):
            rows.append(
                (
                    f"{label} {'/'.join(f'p{p}' for p in PERCENTILES)}",
                    [_percentiles(m[key]) for m in modes],
                )
            )
    if foretold := summary["predicted"]:
        text = f"{foretold['total_s']:,.2f} s ± {foretold['high_s'] - foretold['total_s']:,.2f}"
        rows.insert(
            1,
            (
                "  predicted from sync",
                [text if mode == "async" else "–" for mode in summary["modes"]],
            ),
        )
    if any(m["preemptions"] for m in modes):
        rows.append(row("preemptions", "preemptions", "{:,}"))

    def part(m: dict[str, Any], ns: int) -> str:
        return f"{ns / m['steps'] / 1e6:.3f} ms ({share(ns, m['idle_ns'])})" if ns else "–"

    rows += [
        (f"{A_STEP}{cause}", [part(m, m["cause_ns"][cause]) for m in modes]) for cause in CAUSES
    ]
    largest: dict[str, float] = {}
    for m in modes:
        for name, ns in m["host_ns"].items():
            largest[name] = max(largest.get(name, 0.0), ns / m["steps"])
    top = sorted(largest, key=lambda name: (-largest[name], name))[:HOST_SHOWN]
    rows += [
        (f"  host: {shorten(name, 32)}", [part(m, m["host_ns"].get(name, 0)) for m in modes])
        for name in top
    ]
    return rows


def profiled_rows(summary: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return what a profiler saw of a window of each mode, beside the step clock; empty where none was on."""
    windows = [mode.get("profiled") for mode in summary["modes"].values()]

    def row(label: str, cell: Callable[[dict[str, Any]], str]) -> tuple[str, list[str]]:
        return label, ["–" if w is None else cell(w) for w in windows]

    def number(value: float | None, form: str) -> str:
        return "–" if value is None else form.format(value)

    def phase(name: str) -> tuple[str, list[str]]:
        return row(
            f"  {name}, clock / profiler",
            lambda w: " / ".join(
                number(w["phase_ms_per_step"][by].get(name), "{:.3f} ms") for by in CLOCKS
            ),
        )

    if not any(windows):
        return []
    names = dict.fromkeys(name for w in windows if w for name in w["phase_ms_per_step"][CLOCKS[0]])
    return [
        row("steps recorded", lambda w: f"{w['steps'][0]} to {w['steps'][1] - 1}"),
        row("steps found in its trace", lambda w: number(w["steps_found"], "{:,}")),
        row("a step before", lambda w: number(w["step_ms"]["before"], "{:.3f} ms")),
        row("a step under the profiler", lambda w: number(w["step_ms"]["inside"], "{:.3f} ms")),
        row("a step after", lambda w: number(w["step_ms"]["after"], "{:.3f} ms")),
        row("what profiling costs a step", lambda w: number(w["observer_pct"], "{:+.1f} %")),
        row(
            "idle, clock / profiler",
            lambda w: " / ".join(number(w["idle_pct"][by], "{:.3f} %") for by in CLOCKS),
        ),
        *map(phase, names),
    ]


def profiled_table(summary: dict[str, Any]) -> Table | None:
    """Return the profiled windows of a run side by side; None where no profiler was on."""
    rows = profiled_rows(summary)
    return (
        _table("Profiled window", [TITLES[mode] for mode in summary["modes"]], rows)
        if rows
        else None
    )


def phase_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return how long the host spent in each phase, for a trace that no device was seen in: one cell a process."""
    hosts = analysis.host_phases
    rows = [
        ("steps", [f"{h.starts.size:,} (by {h.found})" for h in hosts]),
        (
            "from step to step, median",
            ["–" if h.step_ns is None else milliseconds(h.step_ns) for h in hosts],
        ),
    ]
    for name in dict.fromkeys(name for h in hosts for name in h.total_ns):
        cells = [
            f"{milliseconds(h.total_ns[name])} in {h.spans[name]:,}" if name in h.spans else "–"
            for h in hosts
        ]
        rows.append((name, cells))
    return rows


def phase_columns(analysis: Analysis) -> list[str]:
    """Return what the columns of `phase_rows` are called."""
    return [h.process for h in analysis.host_phases]


def phase_table(analysis: Analysis) -> Table:
    """Return the phases of the host as a table."""
    return _table("Phases of the host", phase_columns(analysis), phase_rows(analysis))


def _percentiles(figures: dict[str, float] | None) -> str:
    return (
        "–"
        if figures is None
        else " / ".join(milliseconds(figures[f"p{p}"] * 1e6) for p in PERCENTILES)
    )


def run_table(summary: dict[str, Any]) -> Table:
    """Return the modes of a run side by side, from its summary."""
    kind = "measured" if summary["device"]["measured"] else "modelled, not measured"
    columns = [TITLES[mode] for mode in summary["modes"]]
    return _table(f"{summary['device']['name']} · {kind}", columns, mode_rows(summary))


def device_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return the figures of a trace's devices: a label, and one cell a device."""
    devices, rows = analysis.results, []
    processes = [d.device.process_name for d in devices]
    if len(set(processes)) > 1:
        rows.append(("process", processes))
    rows.append(
        ("operations", [_doubt(d, "operations") + f"{d.operations_inside:,}" for d in devices])
    )
    rows.append(
        (
            window_label(devices),
            [_doubt(d, "window_ns") + milliseconds(d.occupancy.window_ns) for d in devices],
        )
    )
    for label in ("active", "compute", "copy only", "idle", "compute idle"):
        parts = [
            (getattr(d.occupancy, label.replace(" ", "_") + "_ns"), d.occupancy.window_ns)
            for d in devices
        ]
        cells = [f"{milliseconds(ns)} ({percent(ns, window):.2f} %)" for ns, window in parts]
        rows.append(
            (label, [_doubt(d, "active_ns") + cell for d, cell in zip(devices, cells, strict=True)])
        )
    rows.append(("gaps", [_doubt(d, "gaps") + f"{len(d.gaps):,}" for d in devices]))
    if any(d.min_gap_ns for d in devices):
        short = [d.short_gaps for d in devices]
        label = f"  shorter than {milliseconds(devices[0].min_gap_ns)}, not listed"
        rows.append((label, [f"{count:,} ({milliseconds(ns)})" for count, ns in short]))
    if any(len(d.steps) for d in devices):
        rows += _step_rows(devices)
    linked = [f"{d.coverage.linked_pct:.1f} %" for d in devices]
    rows.append(("operations with a known launch", linked))
    return rows


def _step_rows(devices: Sequence[DeviceResult]) -> list[tuple[str, list[str]]]:
    rows = [
        (
            "steps",
            [f"{len(d.steps):,} (by {d.steps.found})" if len(d.steps) else "–" for d in devices],
        )
    ]
    for label, column in (("host work a step, median", "host"), ("device work a step, median", "device"),
                          ("idle exposed a step, median", "idle")):  # fmt: skip
        medians = [
            float(np.median(getattr(d.steps, column))) if len(d.steps) else None for d in devices
        ]
        rows.append((label, ["–" if ns is None else milliseconds(ns) for ns in medians]))
    if any(d.prediction for d in devices):
        cells = [
            "–" if d.prediction is None else milliseconds(d.prediction.predicted.step_ns)
            for d in devices
        ]
        rows.append(("a step if asynchronous, predicted", cells))
    if any(d.roofline for d in devices):
        cells = [
            "–" if d.roofline is None else f"{d.roofline.active_roofline_pct:.1f} %"
            for d in devices
        ]
        rows.append(("roofline while active", cells))
    early = [
        f"{d.batching.early:,} of {d.batching.followers:,}" if d.batching.followers else "–"
        for d in devices
    ]
    rows.append(("launched before the previous ended", early))
    return rows


def window_label(devices: Sequence[DeviceResult]) -> str:
    """Return what the figures' window is called."""
    window = devices[0].window
    if window.kind == FIRST_LAST:
        return "window, first to last operation"
    return f"window {window.kind}" + (f", {window.note}" if window.note else "")


def _doubt(device: DeviceResult, figure: str) -> str:
    """Return the mark of a figure that records lost from a damaged file could change."""
    return DOUBT if figure in device.coverage.uncertain else ""


def cause_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return idle time by cause, `host` divided by its largest parts: a label, and one cell a device."""
    rows = []
    for cause in CAUSES:
        rows.append(
            (
                cause,
                [
                    _doubt(d, "cause_ns") + _of_idle(d, d.gaps.totals()[cause])
                    for d in analysis.results
                ],
            )
        )
        if cause == "host":
            for name in top_host(analysis.results):
                cells = [
                    _doubt(d, "host_ns") + _of_idle(d, d.host_ns.get(name, 0))
                    for d in analysis.results
                ]
                rows.append((f"  {shorten(name, 36)}", cells))
    return rows


def analysis_tables(analysis: Analysis) -> list[Table]:
    """Return tables of the devices of a trace, a few side by side, and of their idle time by cause."""
    columns = [device_label(device) for device in analysis.results]
    return [
        *_tables("Devices", columns, device_rows(analysis)),
        *_tables("Idle by cause, % of idle", columns, cause_rows(analysis)),
    ]


def _tables(title: str, columns: list[str], rows: list[tuple[str, list[str]]]) -> list[Table]:
    tables = []
    for first in range(0, len(columns), DEVICES_BESIDE):
        some = slice(first, first + DEVICES_BESIDE)
        last = min(first + DEVICES_BESIDE, len(columns))
        part = f", {first + 1} to {last} of {len(columns)}" if len(columns) > DEVICES_BESIDE else ""
        tables.append(
            _table(f"{title}{part}", columns[some], [(label, cells[some]) for label, cells in rows])
        )
    return tables


def stream_table(device: DeviceResult) -> Table:
    """Return what each stream of a device did in the window."""
    window = device.occupancy.window_ns
    rows = [
        (s["stream"], [f"{s['operations']:,}", *(f"{milliseconds(s[f'{f}_ns'])} ({percent(s[f'{f}_ns'], window):.2f} %)"
                                                 for f in ("active", "compute"))])
        for s in device.streams
    ]  # fmt: skip
    return _table(f"Streams of {device_label(device)}", ["operations", "active", "compute"], rows)


def step_table(device: DeviceResult) -> Table:
    """Return every step of a device: host-critical, device and exposed idle time, and whether it was launched early."""
    s = device.steps
    rows = [
        (str(s.number[i]), [*(milliseconds(int(c[i])) for c in (s.host, s.device, s.idle)),
                            f"{s.operations[i]:,}", "yes" if s.early[i] else "no" if i else "–"])
        for i in range(len(s))
    ]  # fmt: skip
    columns = [
        "host work",
        "device work",
        "idle exposed",
        "operations",
        "launched before the previous ended",
    ]
    return _table(f"Steps of {device_label(device)}, by {s.found}", columns, rows)


def gap_lines(device: DeviceResult) -> list[str]:
    """Return the longest gaps in words, three lines each."""
    lines = []
    for gap in device.longest[:GAPS_SHOWN]:
        after, length, step, causes, stack, end = gap_cells(device, gap)
        of_step = "" if step == "–" else f", step {step}"
        lines += [
            f"{length}, {after} into the window{of_step}: {causes}",
            f"  host in   {stack}",
            f"  ended by  {end}",
        ]
    return [visible(line) for line in lines]


def gap_cells(device: DeviceResult, gap: LongGap, names: int = STACK_SHOWN) -> tuple[str, ...]:
    """Return a gap's row: after how long in the window, length, step, causes, innermost part of the stack, its end."""
    causes = ", ".join(f"{c} {share(ns, gap.length_ns)}" for c, ns in gap.cause_ns.items() if ns)
    stack = " › ".join(shorten(name) for name in gap.stack[-names:])
    if len(gap.stack) > names:
        stack = f"… › {stack}"
    return (
        milliseconds(gap.start_ns - device.occupancy.window[0]), milliseconds(gap.length_ns),
        str(gap.step) if gap.step >= 0 else "–", causes, stack or "–", shorten(gap.ended_by, 80) or "–",
    )  # fmt: skip


def _table(title: str, columns: list[str], rows: list[tuple[str, list[str]]]) -> Table:
    table = Table(title=plain(title), title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(plain(column, STYLES.get(column, "")), justify="right")
    for label, cells in rows:
        table.add_row(plain(label, STYLES.get(label, "")), *map(plain, cells))
    return table


def plain(text: object, style: str = "") -> Text:
    """Return what the terminal shows as it stands: no markup, no emoji, nothing that acts."""
    return Text(visible(str(text)), style)


def _of_idle(device: DeviceResult, ns: int) -> str:
    return f"{milliseconds(ns)} ({share(ns, device.occupancy.idle_ns)})" if ns else "–"


def device_label(result: MeasuredDevice) -> str:
    """Return what a device is called in tables."""
    return f"{result.device.index} {result.device.name}".strip() or "device"


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
