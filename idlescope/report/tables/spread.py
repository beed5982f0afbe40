"""How idle time is spread: over kinds of steps, and over gaps of different lengths."""

from __future__ import annotations

from rich.table import Table

from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.concentration import LengthBin, gap_lengths
from idlescope.analysis.result import DeviceResult
from idlescope.analysis.steps.by_kind import by_kind
from idlescope.report.tables.terminal import Rows, side_by_side
from idlescope.report.text import milliseconds, share
from idlescope.report.work_line import device_label

KIND_COLUMNS = (
    "steps",
    "time per step",
    "host work",
    "device work",
    "idle exposed",
    "idle",
)
ONE_KIND = 1  # its figures are those of all steps


def kind_rows(device: DeviceResult) -> Rows:
    """Return the figures of each kind of step, means; no rows where there is one kind only."""
    figures = by_kind(device)
    if len(figures) <= ONE_KIND:
        return []
    return [
        (
            str(of_kind.kind),
            [
                f"{of_kind.steps:,}",
                *map(milliseconds, (of_kind.step_ns, of_kind.host_ns)),
                *map(milliseconds, (of_kind.device_ns, of_kind.idle_ns)),
                f"{of_kind.idle_pct:.1f} %",
            ],
        )
        for of_kind in figures
    ]


def length_columns(device: DeviceResult) -> tuple[str, ...]:
    """Return the columns of `length_rows`: of causes, those that any gap of the device has."""
    return ("gaps", "idle", "% of idle", *_causes_there(device))


def _causes_there(device: DeviceResult) -> list[str]:
    totals = device.gaps.totals()
    return [cause for cause in CAUSES if totals[cause]]


def length_rows(device: DeviceResult) -> Rows:
    """Return how many gaps have which lengths, and their share of idle, by cause."""
    idle_ns = device.occupancy.idle_ns
    rows: Rows = []
    for some in gap_lengths(device.gaps):
        if not some.gaps:
            continue
        total_ns = sum(some.cause_ns.values())
        cells = [f"{some.gaps:,}", milliseconds(total_ns), share(total_ns, idle_ns)]
        cells += [share(some.cause_ns[cause], idle_ns) for cause in _causes_there(device)]
        rows.append((_lengths(some), cells))
    return rows


def _lengths(some: LengthBin) -> str:
    if some.high_ns is None:
        return f"from {milliseconds(some.low_ns)}"
    if not some.low_ns:
        return f"below {milliseconds(some.high_ns)}"
    return f"{milliseconds(some.low_ns)} to {milliseconds(some.high_ns)}"


def spread_tables(device: DeviceResult) -> list[Table]:
    """Return the tables of kinds of steps, where there are several, and of the lengths of gaps."""
    label = device_label(device)
    tables = []
    if rows := kind_rows(device):
        title = f"Steps by kind, means, {label}"
        tables.append(side_by_side(title, KIND_COLUMNS, rows))
    if rows := length_rows(device):
        title = f"Lengths of gaps, {label}"
        tables.append(side_by_side(title, length_columns(device), rows))
    for table in tables:
        table.columns[0].no_wrap = True  # the numbers have room beside these short labels
    return tables
