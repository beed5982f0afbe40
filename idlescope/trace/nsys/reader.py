"""Read a Nsight Systems export, an SQLite file or a directory of Parquet files, of 2022 or later, into a Trace.

Correlation ids of operations and calls are unique within a process only; globalPid tells processes apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from idlescope.errors import TraceError
from idlescope.trace.damage import LOSS
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Calls, Counters, Device, OperationKind, Thread, Trace
from idlescope.trace.nsys import operations as nsys_operations
from idlescope.trace.nsys import ranges as nsys_ranges
from idlescope.trace.nsys.columns import NO_STRING, PROCESS_BITS, Export, pid_of, repeated, unsigned
from idlescope.trace.nsys.tables import NULL, Tables, open_tables

CALLS = "CUPTI_ACTIVITY_KIND_RUNTIME"  # runtime and driver
EVENTS = (*nsys_operations.TABLES, CALLS, nsys_ranges.NVTX)
SCHEMA_TABLES = ("META_DATA_EXPORT", "EXPORT_META_DATA")  # the second until 2022.4

API_VERSION = re.compile(
    r"_v\d+$"
)  # of cudaLaunchKernel_v7000: the CUDA version of the call's signature


def is_parquet_export(folder: Path) -> bool:
    """Return whether a folder holds the tables of `nsys export --type parquetdir`."""
    return any((folder / f"{table}.parquet").is_file() for table in (*EVENTS, "StringIds"))


def read(path: Path, progress: Callable[[int], None] | None = None, frames: bool = True) -> Trace:
    """Return the Trace of an export; nothing is written to its file or folder or beside it.

    `progress` is called with the number of rows read so far. Without `frames`, operators (PyTorch's `emit_nvtx`) are
    left out. `meta` says what was repaired and lost, and `global_pids` what tells processes apart in the export. Raises
    TraceError for a file that is damaged, is no export of Nsight Systems, or holds no events.
    """
    with open_tables(path) as tables:
        if not any(tables.columns(table) for table in (*EVENTS, "StringIds")):
            raise TraceError(
                f"{path} has none of the tables of Nsight Systems: make an export with "
                "`nsys export --type sqlite REPORT.nsys-rep`"
            )
        export = Export(tables, progress)
        calls = _calls(export)
        callers = {tid & PROCESS_BITS for tid in export.threads.values()}
        # the exports of one process may do without globalPid
        operations = nsys_operations.read(export, callers.pop() if len(callers) == 1 else 0)
        ranges = nsys_ranges.read(export, frames)
        if not export.events:
            raise TraceError(
                f"{path} holds no CUDA or NVTX events: record them with `nsys profile --trace cuda,nvtx`"
            )
        processes = [pid for pid, _ in export.devices.values()] + [
            t & PROCESS_BITS for t in export.threads.values()
        ]
        labels = _process_labels(processes)
        codes = {process: code for code, process in enumerate(labels)}
        gpus = nsys_operations.gpus(tables, export.devices.values())
        graph_level = bool((operations.kind == OperationKind.GRAPH).any())
        return Trace(
            operations=operations,
            calls=calls,
            ranges=ranges,
            counters=Counters.empty(),
            names=export.names.values(),
            devices=tuple(
                Device(codes[process], number, name, labels[process], identity)
                for (process, number), (name, identity) in zip(
                    export.devices.values(), gpus, strict=True
                )
            ),
            streams=tuple(str(stream) for stream in export.streams.values()),
            threads=tuple(
                Thread(codes[tid & PROCESS_BITS], label)
                for tid, label in zip(export.threads.values(), _thread_labels(export), strict=True)
            ),
            meta=Metadata.from_json(
                {
                    "format": "nsys",
                    "path": str(path),
                    "events": export.events,
                    "graph_level": graph_level,
                }
                | {"global_pids": {label: process for process, label in labels.items()}}
                | {"processes": _programs(tables, labels)}
                | _session(tables)
                | export.damage.to_meta()
            ),
        )


def _calls(export: Export) -> Calls:
    wanted = {"globalTid": NULL, "correlationId": 0, "nameId": NO_STRING}
    rows, usable = export.timed(CALLS, wanted, "calls")
    again = repeated(
        [rows[c][usable] for c in ("start", "end", "correlationId", "globalTid", "nameId")]
    )
    if again.any():  # some versions wrote each call twice
        first = int(usable[again.argmax()]) + 1
        export.damage.repaired(
            "calls written twice were counted once", f"{CALLS} row {first}", int(again.sum())
        )
        usable = usable[~again]
    rows = {column: values[usable] for column, values in rows.items()}
    return Calls(
        start=rows["start"],
        end=rows["end"],
        thread=export.threaded(rows["globalTid"]),
        name=export.named(rows["nameId"], lambda text: API_VERSION.sub("", text), "unknown call"),
        correlation=rows["correlationId"],
    )


def _process_labels(processes: Iterable[int]) -> dict[int, str]:
    """Return the pid of each globalPid as text; where processes of two machines share one, the machine's number too."""
    distinct_processes = dict.fromkeys(processes)
    pids = [pid_of(process) for process in distinct_processes]
    return {
        process: str(pid) if pids.count(pid) == 1 else f"{pid}@{unsigned(process) >> 48}"
        for process, pid in zip(distinct_processes, pids, strict=True)
    }


def _thread_labels(export: Export) -> list[str]:
    rows = export.tables.rows("ThreadNames", ["globalTid", "nameId"])
    name_ids = {unsigned(tid): name for tid, name in rows if isinstance(tid, int)}
    wanted = [name_ids.get(unsigned(tid)) for tid in export.threads.values()]
    names = export.tables.strings(sorted({i for i in wanted if isinstance(i, int)}))
    return [
        (names.get(name) if isinstance(name, int) else None) or f"{pid_of(tid)}:{tid & 0xFFFFFF}"
        for name, tid in zip(wanted, export.threads.values(), strict=True)
    ]


def _programs(tables: Tables, labels: dict[int, str]) -> dict[str, str]:
    rows = tables.rows("PROCESSES", ["globalPid", "name"])
    names = {
        unsigned(process): str(name) for process, name in rows if isinstance(process, int) and name
    }
    return {label: names[unsigned(p)] for p, label in labels.items() if unsigned(p) in names}


def _session(tables: Tables) -> dict[str, Any]:
    """Return what the export says of itself: its schema, its zero of time, and what its profiler lost."""
    session: dict[str, Any] = {}
    for table in SCHEMA_TABLES:
        for name, value in tables.rows(table, ["name", "value"]):
            if name == "EXPORT_SCHEMA_VERSION":
                session["export_schema"] = str(value)
    for (epoch,) in tables.rows("TARGET_INFO_SESSION_START_TIME", ["utcEpochNs"]):
        if isinstance(epoch, int):
            session["session_start_epoch_ns"] = epoch
    said = dict.fromkeys(str(text) for (text,) in tables.rows("DIAGNOSTIC_EVENT", ["text"]) if text)
    if dropped := [text for text in said if LOSS.search(text)]:
        session["dropped"] = dropped
    return session
