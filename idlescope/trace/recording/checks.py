"""What the tables of a recording must hold, so that a damaged one gives no other figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.model import OperationKind, RangeKind, Trace
from idlescope.trace.table import Table

LATEST_NS = 2**61  # 73 years either way: sums and differences of such times fit int64
MOST_STEPS = MOST_PROCESSES = 2**31


def checked_column(column: Any, name: str, dtype: str) -> NDArray[Any]:
    """Return a column of a Parquet file (pyarrow.ChunkedArray) as an array of a type.

    Raises ValueError where values are missing, or are no numbers that the type holds.
    """
    import pyarrow as pa

    if column.null_count:
        raise ValueError(f"{column.null_count:,} values of {name} are missing")
    wanted_type = np.dtype(dtype)
    if wanted_type.kind == "f":
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    else:
        is_number = pa.types.is_integer(column.type)
    if not is_number:
        is_dictionary = pa.types.is_dictionary(column.type)
        kind = column.type.value_type if is_dictionary else column.type
        raise ValueError(f"{name} is of type {kind}")
    # `to_numpy` would import pandas, which takes half a second
    pieces: list[NDArray[Any]] = [np.from_dlpack(chunk) for chunk in column.chunks]
    values = np.concatenate(pieces) if pieces else np.zeros(0, wanted_type)
    if wanted_type.kind != "f":
        limits = np.iinfo(wanted_type)
        _check_range(values, name, int(limits.min), int(limits.max) + 1)
    return values.astype(wanted_type, copy=False)


def check(trace: Trace) -> None:
    """Check that codes are indices of what they stand for, and that spans end after they start.

    Raises ValueError with what is wrong.
    """
    sizes = {
        "name": len(trace.names),
        "device": len(trace.devices),
        "stream": len(trace.streams),
        "thread": len(trace.threads),
    }
    for table in (trace.operations, trace.calls, trace.ranges, trace.counters):
        title = type(table).__name__.lower()
        for column in table.DTYPES:
            if column in sizes:
                _check_range(getattr(table, column), f"{title}.{column}", 0, sizes[column])
    processes = [device.process for device in trace.devices]
    processes += [thread.process for thread in trace.threads]
    if not all(0 <= process < MOST_PROCESSES for process in processes):
        raise ValueError("a process is numbered beyond any number of processes")
    if not all(-MOST_STEPS <= device.index < MOST_STEPS for device in trace.devices):
        raise ValueError("a device is numbered beyond any number of devices")
    _check_range(trace.operations.kind, "operations.kind", 0, len(OperationKind))
    _check_range(trace.ranges.kind, "ranges.kind", 0, len(RangeKind))
    for spans in (trace.operations, trace.calls, trace.ranges):
        title = type(spans).__name__.lower()
        _check_range(spans.start, f"{title}.start", -LATEST_NS, LATEST_NS)
        _check_range(spans.end, f"{title}.end", -LATEST_NS, LATEST_NS)
        _check_ends(spans, spans.start, spans.end)
    _check_range(trace.counters.time, "counters.time", -LATEST_NS, LATEST_NS)
    _check_range(trace.operations.step, "operations.step", -1, MOST_STEPS)
    _check_range(trace.ranges.step, "ranges.step", -1, MOST_STEPS)
    flops = trace.operations.flops
    if not (np.isfinite(flops) & (flops >= 0)).all():
        raise ValueError("operations.flops holds what is no number of operations")


def _check_ends(table: Table, start: NDArray[Any], end: NDArray[Any]) -> None:
    ending_early = int((end < start).sum())
    if ending_early:
        raise ValueError(
            f"{ending_early:,} {type(table).__name__.lower()} end before they start"
        )


def _check_range(values: NDArray[Any], name: str, least: int, beyond: int) -> None:
    """Check that values lie from `least` up to, not including, `beyond`."""
    if not values.size:
        return
    lowest, highest = int(values.min()), int(values.max())
    if lowest < least or highest >= beyond:
        wrong_value = lowest if lowest < least else highest
        raise ValueError(
            f"{name} holds {wrong_value:,}, which is not within {least:,} to {beyond - 1:,}"
        )
