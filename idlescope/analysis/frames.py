"""Results as pandas DataFrames and as a small table for notebooks; times in integer nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from idlescope.analysis.document import StepEntry, device_entry, step_entries
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.notebook import shown

if TYPE_CHECKING:
    import pandas as pd

_GAP_COLUMNS = (
    *("process", "device", "start_ns", "end_ns", "length_ns"),
    *(f"{cause}_ns" for cause in CAUSES),
    *("step", "ended_by", "launched_by", "thread"),
)
_HOST_COLUMNS = ("process", "device", "doing", "ns", "pct_of_host", "pct_of_idle")


def devices(results: Sequence[MeasuredDevice]) -> pd.DataFrame:
    """Return one row per device: scalar figures, `<cause>_ns` by cause, coverage and verdict."""
    import pandas as pd

    entries = [
        msgspec.to_builtins(device_entry(result, None, None, None)) for result in results
    ]
    frame = pd.DataFrame([_scalars(entry) for entry in entries])
    for cause in CAUSES:
        frame[f"{cause}_ns"] = [entry["cause_ns"][cause] for entry in entries]
    frame["linked_pct"] = [result.coverage.linked_pct for result in results]
    frame["verdict"] = [str(result.verdict.kind) for result in results]
    return frame


def _scalars(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in entry.items() if isinstance(value, (int, float, str))
    }


def steps(results: Sequence[MeasuredDevice]) -> pd.DataFrame:
    """Return one row per step and device, with the columns of `StepEntry`."""
    import pandas as pd

    rows = [
        msgspec.to_builtins(step) for result in results for step in step_entries(result)
    ]
    return pd.DataFrame(rows, columns=list(StepEntry.__struct_fields__))


def gaps(results: Sequence[MeasuredDevice]) -> pd.DataFrame:
    """Return one row per gap that is not shorter than `min_gap_ns`."""
    import pandas as pd

    if not results:
        return pd.DataFrame(columns=list(_GAP_COLUMNS))
    return pd.concat([_gaps_of(result) for result in results], ignore_index=True)


def _gaps_of(result: MeasuredDevice) -> pd.DataFrame:
    import pandas as pd

    gaps, calls = result.gaps, result.view.trace.calls
    listed = np.flatnonzero(gaps.length >= result.min_gap_ns)
    operation, call = gaps.operation[listed], gaps.call[listed]
    # Row -1 of these tables stands for what is not known.
    step = np.append(result.step, -1)
    operation_name = np.append(result.operations.name, -1)
    call_name, call_thread = np.append(calls.name, -1), np.append(calls.thread, -1)
    names = np.array([*result.view.trace.names, ""], object)
    threads = np.array(
        [*(thread.label for thread in result.view.trace.threads), ""], object
    )
    columns: dict[str, Any] = {
        "process": result.device.process_name,
        "device": result.device.index,
        "start_ns": gaps.start[listed],
        "end_ns": gaps.end[listed],
        "length_ns": gaps.length[listed],
    }
    for cause in CAUSES:
        columns[f"{cause}_ns"] = getattr(gaps, cause)[listed]
    columns["step"] = step[operation]
    columns["ended_by"] = names[operation_name[operation]]
    columns["launched_by"] = names[call_name[call]]
    columns["thread"] = threads[call_thread[call]]
    return pd.DataFrame(columns, index=range(listed.size))


def host(results: Sequence[MeasuredDevice]) -> pd.DataFrame:
    """Return how the `host` idle of each device divides, largest first."""
    import pandas as pd

    rows = [
        (
            result.device.process_name,
            result.device.index,
            doing,
            ns,
            percent(ns, result.gaps.totals()["host"]),
            percent(ns, result.occupancy.idle_ns),
        )
        for result in results
        for doing, ns in result.host_ns.items()
    ]
    return pd.DataFrame(rows, columns=list(_HOST_COLUMNS))


def in_ms(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame for people: each column `<what>_ns` as `<what>_ms`, in milliseconds.

    Public as `idlescope.in_ms`; the frames of an Analysis count in integer nanoseconds.
    """
    times = [column for column in frame.columns if str(column).endswith("_ns")]
    changed = frame.assign(**{column: frame[column] / 1e6 for column in times})
    return changed.rename(
        columns={name: f"{name.removesuffix('_ns')}_ms" for name in times}
    )


def html(title: str, results: Sequence[MeasuredDevice], warnings: Sequence[str]) -> str:
    """Return the verdict on the device that idles most, and the figures of each as a table."""
    if not results:
        return shown(f"{title}: no device was seen", (), (), warnings)
    idlest = max(results, key=lambda result: result.idle_pct)
    rows = [_html_cells(result) for result in results]
    return shown(f"{title}: {idlest.verdict.text}", _HTML_COLUMNS, rows, warnings)


_HTML_COLUMNS = (
    "device",
    "operations",
    "window",
    "idle",
    "idle per step",
    "host work per step",
    "device work per step",
    "verdict",
)


def _html_cells(result: MeasuredDevice) -> list[str]:
    occupancy, steps = result.occupancy, result.steps
    count = len(steps)
    per_step = ["–"] * 3
    if count:
        host_ns = int(result.host_work_ns.sum()) / count
        device_ns = int(steps.device.sum()) / count
        means_ns = (result.idle_per_step_ns or 0.0, host_ns, device_ns)
        per_step = [f"{mean_ns / 1e6:.2f} ms" for mean_ns in means_ns]
    return [
        f"{result.device.index} {result.device.name}".strip(),
        f"{result.operations_inside:,}",
        f"{occupancy.window_ns / 1e6:,.1f} ms",
        f"{result.idle_pct:.2f} %",
        *per_step,
        str(result.verdict.kind),
    ]
