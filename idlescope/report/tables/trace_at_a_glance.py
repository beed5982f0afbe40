"""The first table of a trace: the few rows that answer how idle its devices are, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.table import Table

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.demand import causes_apart
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.result import Analysis, DeviceResult
from idlescope.report.tables.devices import (
    device_tables,
    doubt,
    idle_per_step,
    median,
    of_window,
    predicted_step,
    window_cell,
    window_label,
)
from idlescope.report.tables.terminal import INDENT, Rows
from idlescope.report.text import NOTHING, share

Cell = Callable[[DeviceResult], str | None]  # None: the device has no such figure
FIGURES: tuple[tuple[str, Cell], ...] = (
    ("idle per step", idle_per_step),
    ("host work per step, median", lambda device: median(device, device.steps.host)),
    ("device work per step, median", lambda device: median(device, device.steps.device)),
    ("step if asynchronous, predicted", predicted_step),
)


def glance_tables(analysis: Analysis) -> list[Table]:
    """Return the devices of a trace, a few side by side."""
    return device_tables("", analysis, glance_rows(analysis.results))


def glance_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return the rows of `glance_tables`; causes and figures that no device has are left out."""
    rows = [
        (window_label(devices), [window_cell(device) for device in devices]),
        ("idle", [of_window(device, device.occupancy.idle_ns) for device in devices]),
        *_cause_rows(devices),
        (
            "compute idle",
            [of_window(device, device.occupancy.compute_idle_ns) for device in devices],
        ),
    ]
    for label, cell_of in FIGURES:
        rows += _known(label, cell_of, devices)
    return rows


def _cause_rows(devices: Sequence[DeviceResult]) -> Rows:
    """Return the share of idle time of each cause that any device has.

    Want of requests is told apart from the host, whose part it is: there is nothing to cure.
    """
    totals = [causes_apart(device.gaps, device.host_ns) for device in devices]
    rows = []
    for cause in (NO_DEMAND, *CAUSES):
        if not any(of_device[cause] for of_device in totals):
            continue
        cells = [
            doubt(device, "cause_ns") + share(of_device[cause], device.occupancy.idle_ns)
            for device, of_device in zip(devices, totals, strict=True)
        ]
        rows.append((f"{INDENT}{cause}", cells))
    return rows


def _known(label: str, cell_of: Cell, devices: Sequence[DeviceResult]) -> Rows:
    """Return the row of a figure that some device has; no row where none has."""
    cells = [cell_of(device) for device in devices]
    if not any(cells):
        return []
    return [(label, [cell or NOTHING for cell in cells])]
