"""The tables of a trace: its devices side by side, their idle time by cause, streams and steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rich.table import Table

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.intervals import percent
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.analysis.steps.window import WindowKind
from idlescope.report.tables.terminal import Rows, side_by_side
from idlescope.report.text import NOTHING, milliseconds, share, shorten
from idlescope.report.work_line import device_label
from idlescope.trace.table import Int64

MAX_HOST_ROWS = 6  # largest divisions of `host`
HOST_NAME_WIDTH = 36
DEVICES_BESIDE = 4  # in one table; more go into further ones
DOUBT = "~"  # marks a figure that lost records could change
STREAM_COLUMNS = ("operations", "active", "compute")
STEP_COLUMNS = (
    "host work",
    "device work",
    "idle exposed",
    "operations",
    "launched before the previous ended",
)


def analysis_tables(analysis: Analysis) -> list[Table]:
    """Return tables of the devices of a trace, a few side by side, and of idle time by cause."""
    columns = [device_label(device) for device in analysis.results]
    return [
        *_tables("Devices", columns, device_rows(analysis)),
        *_tables("Idle by cause, % of idle", columns, cause_rows(analysis)),
    ]


def _tables(title: str, columns: list[str], rows: Rows) -> list[Table]:
    """Return one table or more, of at most DEVICES_BESIDE columns each."""
    tables = []
    total = len(columns)
    for first in range(0, total, DEVICES_BESIDE):
        last = min(first + DEVICES_BESIDE, total)
        part = f", {first + 1} to {last} of {total}" if total > DEVICES_BESIDE else ""
        some_rows = [(label, cells[first:last]) for label, cells in rows]
        tables.append(side_by_side(f"{title}{part}", columns[first:last], some_rows))
    return tables


def device_rows(analysis: Analysis) -> Rows:
    """Return the figures of a trace's devices: a label, and one cell for each device."""
    devices = analysis.results
    rows: Rows = []
    processes = [device.device.process_name for device in devices]
    if len(set(processes)) > 1:
        rows.append(("process", processes))
    rows += [
        ("operations", [_operations_cell(device) for device in devices]),
        (window_label(devices), [_window_cell(device) for device in devices]),
        *_occupancy_rows(devices),
        *_shared_rows(devices),
        ("gaps", [_doubt(device, "gaps") + f"{len(device.gaps):,}" for device in devices]),
    ]
    if any(device.min_gap_ns for device in devices):
        label = f"  shorter than {milliseconds(devices[0].min_gap_ns)}, not listed"
        rows.append((label, [_short_gaps_cell(device) for device in devices]))
    if any(len(device.steps) for device in devices):
        rows += _step_rows(devices)
    linked = [f"{device.coverage.linked_pct:.1f} %" for device in devices]
    rows.append(("operations with a known launch", linked))
    return rows


def _doubt(device: DeviceResult, figure: str) -> str:
    """Return the mark of a figure that records lost from a damaged file could change."""
    return DOUBT if figure in device.coverage.uncertain else ""


def _operations_cell(device: DeviceResult) -> str:
    return _doubt(device, "operations") + f"{device.operations_inside:,}"


def _window_cell(device: DeviceResult) -> str:
    return _doubt(device, "window_ns") + milliseconds(device.occupancy.window_ns)


def _short_gaps_cell(device: DeviceResult) -> str:
    count, total_ns = device.short_gaps
    return f"{count:,} ({milliseconds(total_ns)})"


def window_label(devices: Sequence[DeviceResult]) -> str:
    """Return what the figures' window is called."""
    window = devices[0].window
    if window.kind == WindowKind.FIRST_LAST:
        return "window, first to last operation"
    note = f", {window.note}" if window.note else ""
    return f"window {window.asked}{note}"


def _occupancy_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return how the window divides: each in time and in per cent of it."""
    rows = []
    for label in ("active", "compute", "copy only", "idle", "compute idle"):
        attribute = label.replace(" ", "_") + "_ns"
        cells = []
        for device in devices:
            ns = getattr(device.occupancy, attribute)
            cells.append(_doubt(device, "active_ns") + _of_window(device, ns))
        rows.append((label, cells))
    return rows


def _shared_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return how idle a GPU is with all processes that use it."""
    if not any(device.shared for device in devices):
        return []
    cells = []
    for device in devices:
        shared = device.shared
        idle = NOTHING if shared is None else f"{shared.idle_pct:.2f} %"
        cells.append(idle)
    return [("idle, all processes of this GPU", cells)]


def _of_window(device: DeviceResult, ns: int) -> str:
    return f"{milliseconds(ns)} ({percent(ns, device.occupancy.window_ns):.2f} %)"


def _step_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return the figures of steps, of a trace in which some device has steps."""
    figures: list[tuple[str, Callable[[DeviceResult], str | None]]] = [
        ("steps", _steps_cell),
        ("host work per step, median", lambda device: _median(device, device.steps.host)),
        ("device work per step, median", lambda device: _median(device, device.steps.device)),
        ("idle per step", _idle_cell),
    ]
    if any(device.prediction for device in devices):
        figures.append(("time per step if asynchronous, predicted", _predicted_cell))
    if any(device.roofline for device in devices):
        figures.append(("roofline while active", _roofline_cell))
    figures.append(("launched before the previous ended", _early_cell))
    return [(label, [cell(device) or NOTHING for device in devices]) for label, cell in figures]


def _steps_cell(device: DeviceResult) -> str | None:
    steps = device.steps
    return f"{len(steps):,} (by {steps.found})" if len(steps) else None


def _median(device: DeviceResult, times_ns: Int64) -> str | None:
    return milliseconds(float(np.median(times_ns))) if len(device.steps) else None


def _idle_cell(device: DeviceResult) -> str | None:
    steps = len(device.steps)
    return milliseconds(device.occupancy.idle_ns / steps) if steps else None


def _predicted_cell(device: DeviceResult) -> str | None:
    prediction = device.prediction
    return None if prediction is None else milliseconds(prediction.predicted.step_ns)


def _roofline_cell(device: DeviceResult) -> str | None:
    roofline = device.roofline
    return None if roofline is None else f"{roofline.active_roofline_pct:.1f} %"


def _early_cell(device: DeviceResult) -> str | None:
    batching = device.batching
    return f"{batching.early:,} of {batching.followers:,}" if batching.followers else None


def cause_rows(analysis: Analysis) -> Rows:
    """Return idle time by cause, `host` divided by its largest parts; one cell for each device."""
    devices = analysis.results
    rows = []
    for cause in CAUSES:
        cells = [_cause_cell(device, cause) for device in devices]
        rows.append((cause, cells))
        if cause == "host":
            rows += [_host_row(devices, name) for name in largest_host_parts(devices)]
    return rows


def _cause_cell(device: DeviceResult, cause: str) -> str:
    return _doubt(device, "cause_ns") + _of_idle(device, device.gaps.totals()[cause])


def _host_row(devices: Sequence[DeviceResult], name: str) -> tuple[str, list[str]]:
    cells = [
        _doubt(device, "host_ns") + _of_idle(device, device.host_ns.get(name, 0))
        for device in devices
    ]
    return f"  {shorten(name, HOST_NAME_WIDTH)}", cells


def _of_idle(device: DeviceResult, ns: int) -> str:
    if not ns:
        return NOTHING
    return f"{milliseconds(ns)} ({share(ns, device.occupancy.idle_ns)})"


def largest_host_parts(devices: Sequence[DeviceResult]) -> list[str]:
    """Return the largest divisions of `host` idle over all devices."""
    sums: dict[str, int] = {}
    for device in devices:
        for name, ns in device.host_ns.items():
            sums[name] = sums.get(name, 0) + ns
    return sorted(sums, key=lambda name: (-sums[name], name))[:MAX_HOST_ROWS]


def stream_table(device: DeviceResult) -> Table:
    """Return what each stream of a device did in the window."""
    rows = []
    for stream in device.streams:
        times = [_of_window(device, stream[key]) for key in ("active_ns", "compute_ns")]
        rows.append((stream["stream"], [f"{stream['operations']:,}", *times]))
    return side_by_side(f"Streams of {device_label(device)}", STREAM_COLUMNS, rows)


def step_table(device: DeviceResult) -> Table:
    """Return every step of a device: host-critical, device and exposed idle time."""
    steps = device.steps
    rows = []
    for row in range(len(steps)):
        times = [
            milliseconds(int(column[row])) for column in (steps.host, steps.device, steps.idle)
        ]
        early = "yes" if steps.early[row] else "no"
        cells = [
            *times,
            f"{steps.operations[row]:,}",
            early if row or steps.early[row] else NOTHING,
        ]
        rows.append((str(steps.number[row]), cells))
    return side_by_side(f"Steps of {device_label(device)}, by {steps.found}", STEP_COLUMNS, rows)
