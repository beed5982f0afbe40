"""Write a Trace as an Nsight Systems SQLite export.

`left_out` counts what has no place in one: counters, steps, the FLOPs and bytes of compute
operations, the names of graph-level records, Python frames, garbage collection and ranges without
demand. Operators are NVTX ranges in the form that PyTorch's `emit_nvtx` gives them, so that they
read back as operators. Streams have numbers there, not names.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from idlescope.export.nsys.identifiers import is_stream_number
from idlescope.export.nsys.schema import SCHEMA
from idlescope.export.nsys.tables import Rows, Tables
from idlescope.trace.model import OperationKind, RangeKind, Trace
from idlescope.trace.whole_files import new_database


def write(trace: Trace, path: Path) -> None:
    """Write an SQLite database; there must be no file of that name.

    Tables without rows are left out, as nsys does.
    """
    tables = Tables(trace)
    with new_database(path) as database:
        for table_name, columns in SCHEMA.items():
            _fill(database, table_name, columns, tables.rows(table_name))


def _fill(database: sqlite3.Connection, name: str, columns: str, rows: Rows) -> None:
    first_row = next(rows, None)
    if first_row is None:
        return
    placeholders = ", ".join("?" * len(first_row))
    insert = f"INSERT INTO {name} VALUES ({placeholders})"  # noqa: S608 - names of our own
    database.execute(f"CREATE TABLE {name} ({columns})")
    database.execute(insert, first_row)
    database.executemany(insert, rows)


def left_out(trace: Trace) -> list[str]:
    """Return one sentence for each kind of record that has no place in an export."""
    return [
        f"{record_kind} have no place in an Nsight export: {record_count:,} left out"
        for record_kind, record_count in _left_out_counts(trace).items()
        if record_count
    ]


def _left_out_counts(trace: Trace) -> dict[str, int]:
    operations, range_kind = trace.operations, trace.ranges.kind
    is_graph = operations.kind == OperationKind.GRAPH
    is_compute = (operations.kind == OperationKind.KERNEL) | is_graph
    has_work = (operations.flops != 0) | (operations.bytes != 0)
    every_step = np.concatenate((operations.step, trace.ranges.step))
    step_numbers = np.unique(every_step[every_step >= 0])
    named_streams = [stream for stream in trace.streams if not is_stream_number(stream)]
    return {
        "counters": len(trace.counters),
        "Python frames": int((range_kind == RangeKind.FRAME).sum()),
        "garbage collections": int((range_kind == RangeKind.GARBAGE_COLLECTION).sum()),
        "ranges without demand": int((range_kind == RangeKind.NO_DEMAND).sum()),
        "steps": int(step_numbers.size),
        "names of graph-level records": int(is_graph.sum()),
        "FLOPs and bytes of compute operations": int((is_compute & has_work).sum()),
        "names of streams": len(named_streams),
    }
