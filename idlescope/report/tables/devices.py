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
from idlescope.report.work_line import device_label, device_labels
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
    return [
        *device_tables("Devices", analysis, device_rows(analysis)),
        *device_tables("Idle by cause, % of idle", analysis, cause_rows(analysis)),
    ]


def device_tables(title: str, analysis: Analysis, rows: Rows) -> list[Table]:
    """Return one table or more, of at most DEVICES_BESIDE devices each.

    `rows` have a cell for each device.
    """
    columns = device_labels(analysis.results)
    tables = []
    device_count = len(columns)
    for first_device in range(0, device_count, DEVICES_BESIDE):
        last_device = min(first_device + DEVICES_BESIDE, device_count)
        part_note = (
            f"{title and ', '}{first_device + 1} to {last_device} of {device_count}"
            if device_count > DEVICES_BESIDE
            else ""
        )
        some_rows = [
            (row_label, cells[first_device:last_device]) for row_label, cells in rows
        ]
        tables.append(
            side_by_side(
                f"{title}{part_note}", columns[first_device:last_device], some_rows
            )
        )
    return tables


def device_rows(analysis: Analysis) -> Rows:
    """Return the figures of a trace's devices: a label, and one cell for each device."""
    devices = analysis.results
    table_rows: Rows = []
    processes = [device.device.process_name for device in devices]
    if len(set(processes)) > 1:
        table_rows.append(("process", processes))
    table_rows += [
        ("operations", [_operations_cell(device) for device in devices]),
        (window_label(devices), [window_cell(device) for device in devices]),
        *_occupancy_rows(devices),
        *_communication_rows(devices),
        *_shared_rows(devices),
        ("gaps", [doubt(device, "gaps") + f"{len(device.gaps):,}" for device in devices]),
    ]
    if any(device.min_gap_ns for device in devices):
        short_gaps_label = (
            f"  shorter than {milliseconds(devices[0].min_gap_ns)}, not listed"
        )
        table_rows.append(
            (short_gaps_label, [_short_gaps_cell(device) for device in devices])
        )
    if any(len(device.steps) for device in devices):
        table_rows += _step_rows(devices)
    linked = [f"{device.coverage.linked_pct:.1f} %" for device in devices]
    table_rows.append(("operations with a known launch", linked))
    return table_rows


def doubt(device: DeviceResult, figure: str) -> str:
    """Return the mark of a figure that records lost from a damaged file could change."""
    return DOUBT if figure in device.coverage.uncertain else ""


def _operations_cell(device: DeviceResult) -> str:
    return doubt(device, "operations") + f"{device.operations_inside:,}"


def window_cell(device: DeviceResult) -> str:
    """Return how long a device's window is."""
    return doubt(device, "window_ns") + milliseconds(device.occupancy.window_ns)


def _short_gaps_cell(device: DeviceResult) -> str:
    gap_count, total_ns = device.short_gaps
    return f"{gap_count:,} ({milliseconds(total_ns)})"


def window_label(devices: Sequence[DeviceResult]) -> str:
    """Return what the figures' window is called."""
    window = devices[0].window
    if window.kind == WindowKind.FIRST_LAST:
        return "window, first to last operation"
    window_note = f", {window.note}" if window.note else ""
    return f"window {window.asked}{window_note}"


def _occupancy_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return how the window divides: each in time and in per cent of it."""
    state_rows = []
    for state_label in ("active", "compute", "copy only", "idle", "compute idle"):
        attribute = state_label.replace(" ", "_") + "_ns"
        row_cells = []
        for device in devices:
            state_ns = getattr(device.occupancy, attribute)
            row_cells.append(doubt(device, "active_ns") + of_window(device, state_ns))
        state_rows.append((state_label, row_cells))
    return state_rows


def _communication_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return the figures of communication, of a trace in which some device communicates."""
    if not any(device.communication.communication_ns for device in devices):
        return []
    return [
        (row_label, [of_window(device, ns_of(device)) for device in devices])
        for row_label, ns_of in _COMMUNICATION
    ]


_COMMUNICATION: tuple[tuple[str, Callable[[DeviceResult], int]], ...] = (
    ("communication", lambda device: device.communication.communication_ns),
    ("exposed communication", lambda device: device.communication.exposed_ns),
    ("useful compute", lambda device: device.communication.useful_compute_ns),
)


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


def of_window(device: DeviceResult, ns: int) -> str:
    """Return a part of the window, in time and in per cent of it."""
    return f"{milliseconds(ns)} ({percent(ns, device.occupancy.window_ns):.2f} %)"


def _step_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return the figures of steps, of a trace in which some device has steps."""
    figures: list[tuple[str, Callable[[DeviceResult], str | None]]] = [
        ("steps", _steps_cell),
        ("host work per step, median", lambda device: median(device, device.steps.host)),
        (
            "device work per step, median",
            lambda device: median(device, device.steps.device),
        ),
        ("idle per step", idle_per_step),
    ]
    if any(device.prediction for device in devices):
        figures.append(("time per step if asynchronous, predicted", predicted_step))
    if any(device.roofline for device in devices):
        figures.append(("roofline while active", _roofline_cell))
    figures.append(("launched before the previous ended", _early_cell))
    return [
        (row_label, [cell_of(device) or NOTHING for device in devices])
        for row_label, cell_of in figures
    ]


def _steps_cell(device: DeviceResult) -> str | None:
    device_steps = device.steps
    return f"{len(device_steps):,} (by {device_steps.found})" if len(device_steps) else None


def median(device: DeviceResult, times_ns: Int64) -> str | None:
    """Return the median of a time of each step; None where there are no steps."""
    return milliseconds(float(np.median(times_ns))) if len(device.steps) else None


def idle_per_step(device: DeviceResult) -> str | None:
    """Return the idle time that one step costs; None where there are no steps."""
    per_step_ns = device.idle_per_step_ns
    return None if per_step_ns is None else milliseconds(per_step_ns)


def predicted_step(device: DeviceResult) -> str | None:
    """Return the time per step of asynchronous batching; None where it cannot be told."""
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
    table_rows = []
    for cause_name in CAUSES:
        row_cells = [_cause_cell(device, cause_name) for device in devices]
        if all(cell == NOTHING for cell in row_cells):
            continue
        table_rows.append((cause_name, row_cells))
        if cause_name == "host":
            table_rows += [_host_row(devices, name) for name in largest_host_parts(devices)]
    return table_rows


def _cause_cell(device: DeviceResult, cause: str) -> str:
    return doubt(device, "cause_ns") + _of_idle(device, device.gaps.totals()[cause])


def _host_row(devices: Sequence[DeviceResult], name: str) -> tuple[str, list[str]]:
    cells = [
        doubt(device, "host_ns") + _of_idle(device, device.host_ns.get(name, 0))
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
        times = [of_window(device, stream[key]) for key in ("active_ns", "compute_ns")]
        rows.append((stream["stream"], [f"{stream['operations']:,}", *times]))
    return side_by_side(f"Streams of {device_label(device)}", STREAM_COLUMNS, rows)


def step_table(device: DeviceResult) -> Table:
    """Return every step of a device: host-critical, device and exposed idle time."""
    steps = device.steps
    rows = []
    for row in range(len(steps)):
        times = [
            milliseconds(int(column[row]))
            for column in (steps.host, steps.device, steps.idle)
        ]
        early = "yes" if steps.early[row] else "no"
        cells = [
            *times,
            f"{steps.operations[row]:,}",
            early if row or steps.early[row] else NOTHING,
        ]
        rows.append((str(steps.number[row]), cells))
    return side_by_side(
        f"Steps of {device_label(device)}, by {steps.found}", STEP_COLUMNS, rows
    )
