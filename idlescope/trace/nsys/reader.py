"""Read a Nsight Systems export of 2022 or later into a Trace.

It is an SQLite file or a folder of Parquet files. Correlation ids of operations and calls are
unique within a process only; globalPid tells processes apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.damage import LOSS, NO_DEVICE_RECORDS, Damage
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import (
    Calls,
    Counters,
    Device,
    OperationKind,
    Operations,
    Thread,
    Trace,
)
from idlescope.trace.nsys import operations as nsys_operations
from idlescope.trace.nsys import ranges as nsys_ranges
from idlescope.trace.nsys.columns import (
    NO_STRING,
    PROCESS_BITS,
    Export,
    pid_of,
    repeated,
    unsigned,
)
from idlescope.trace.nsys.files import open_tables
from idlescope.trace.nsys.gpus import gpus
from idlescope.trace.nsys.tables import Tables
from idlescope.trace.sqlite.numbers import NULL

CALLS = "CUPTI_ACTIVITY_KIND_RUNTIME"  # runtime and driver
EVENTS = (*nsys_operations.TABLES, CALLS, nsys_ranges.NVTX)
SCHEMA_TABLES = ("META_DATA_EXPORT", "EXPORT_META_DATA")  # the second until 2022.4

# of cudaLaunchKernel_v7000: the CUDA version of the call's signature
API_VERSION = re.compile(r"_v\d+$")


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of an export; nothing is written to its file or folder or beside it.

    `progress` is called with the number of rows read so far. Without `frames`, operators (PyTorch's
    `emit_nvtx`) are left out. `meta` says what was repaired and lost, and `global_pids` what tells
    processes apart in the export.

    Raises TraceError for a file that is damaged, is no export of Nsight Systems, or holds no
    events.
    """
    damage = Damage()
    with open_tables(path, damage) as tables:
        if not any(tables.columns(table_name) for table_name in (*EVENTS, "StringIds")):
            raise TraceError(
                f"{path} has none of the tables of Nsight Systems: make an export with "
                "`nsys export --type sqlite REPORT.nsys-rep`"
            )
        export = Export(tables, progress, damage)
        call_table = _calls(export)
        callers = {global_tid & PROCESS_BITS for global_tid in export.threads.values()}
        # the exports of one process may do without globalPid
        operations = nsys_operations.read(export, callers.pop() if len(callers) == 1 else 0)
        ranges = nsys_ranges.read(export, frames)
        if not export.events:
            raise TraceError(
                f"{path} holds no CUDA or NVTX events: "
                "record them with `nsys profile --trace cuda,nvtx`"
            )
        labels = _process_labels(export)
        return Trace(
            operations=operations,
            calls=call_table,
            ranges=ranges,
            counters=Counters.empty(),
            names=export.names.values(),
            devices=_devices(export, labels),
            streams=tuple(str(stream) for stream in export.streams.values()),
            threads=_threads(export, labels),
            meta=_metadata(path, export, labels, operations),
        )


def _calls(export: Export) -> Calls:
    wanted = {"globalTid": NULL, "correlationId": 0, "nameId": NO_STRING}
    call_rows, usable = export.timed(CALLS, wanted, "calls")
    telling = ("start", "end", "correlationId", "globalTid", "nameId")
    is_repeat = repeated([call_rows[column][usable] for column in telling])
    if is_repeat.any():  # some versions wrote each call twice
        repeat_place = f"{CALLS} row {int(usable[is_repeat.argmax()]) + 1}"
        repeat_count = int(is_repeat.sum())
        export.damage.repaired(
            "calls written twice were counted once", repeat_place, repeat_count
        )
        usable = usable[~is_repeat]
    call_rows = {column: values[usable] for column, values in call_rows.items()}
    return Calls(
        start=call_rows["start"],
        end=call_rows["end"],
        thread=export.threaded(call_rows["globalTid"]),
        name=export.named(call_rows["nameId"], _call_name, "unknown call"),
        correlation=call_rows["correlationId"],
    )


def _call_name(text: str) -> str:
    return API_VERSION.sub("", text)


def _process_labels(export: Export) -> dict[int, str]:
    """Return the pid of each globalPid as text.

    Where processes of two machines share a pid, the machine's number is in it, too.
    """
    of_devices = [process for process, _ in export.devices.values()]
    of_threads = [global_tid & PROCESS_BITS for global_tid in export.threads.values()]
    processes = dict.fromkeys((*of_devices, *of_threads))
    process_ids = [pid_of(process) for process in processes]
    processes_of_id = Counter(process_ids)
    labels = {}
    for process, process_id in zip(processes, process_ids, strict=True):
        is_unique = processes_of_id[process_id] == 1
        labels[process] = (
            str(process_id) if is_unique else f"{process_id}@{unsigned(process) >> 48}"
        )
    return labels


def _codes(labels: Iterable[int]) -> dict[int, int]:
    return {process: process_code for process_code, process in enumerate(labels)}


def _devices(export: Export, labels: dict[int, str]) -> tuple[Device, ...]:
    process_codes, known_devices = _codes(labels), export.devices.values()
    devices = []
    for (process, number), device_gpu in zip(
        known_devices, gpus(export.tables, known_devices), strict=True
    ):
        device = Device(
            process_codes[process],
            number,
            device_gpu.name,
            labels[process],
            device_gpu.identity,
        )
        devices.append(device)
    return tuple(devices)


def _threads(export: Export, labels: dict[int, str]) -> tuple[Thread, ...]:
    process_codes, thread_names = _codes(labels), _thread_names(export)
    threads = []
    for global_tid in export.threads.values():
        thread_label = (
            thread_names.get(global_tid) or f"{pid_of(global_tid)}:{global_tid & 0xFFFFFF}"
        )
        threads.append(Thread(process_codes[global_tid & PROCESS_BITS], thread_label))
    return tuple(threads)


def _thread_names(export: Export) -> dict[int, str]:
    """Return the names that threads were given, by globalTid."""
    name_rows = export.tables.rows("ThreadNames", ["globalTid", "nameId"])
    by_unsigned = {
        unsigned(tid): name_id for tid, name_id in name_rows if isinstance(tid, int)
    }
    name_ids = {}
    for global_tid in export.threads.values():
        name_id = by_unsigned.get(unsigned(global_tid))
        if isinstance(name_id, int):
            name_ids[global_tid] = name_id
    thread_texts = export.tables.strings(sorted(set(name_ids.values())))
    return {
        tid: thread_texts[name_id]
        for tid, name_id in name_ids.items()
        if name_id in thread_texts
    }


def _metadata(
    path: Path, export: Export, labels: dict[int, str], operations: Operations
) -> Metadata:
    """Return what the export says of itself: its schema, its zero of time, what was lost."""
    tables, damage = export.tables, export.damage
    # before what is said of damage: these tables may have some, too
    dropped, errors = _messages(tables, LOSS), _messages(tables, NO_DEVICE_RECORDS)
    session_start_ns = _session_start_ns(tables)
    extra_entries = {
        "graph_level": bool((operations.kind == OperationKind.GRAPH).any()),
        "global_pids": {
            process_label: process for process, process_label in labels.items()
        },
        "processes": _programs(tables, labels),
    }
    if version := _schema_version(tables):
        extra_entries["export_schema"] = version
    return Metadata(
        format="nsys",
        path=str(path),
        events=export.events,
        warnings=tuple(damage.warnings()),
        lost=dict(damage.lost),
        truncated=damage.truncated,
        dropped=dropped,
        profiler_errors=errors,
        session_start_ns=session_start_ns,
        extra=extra_entries,
    )


def _programs(tables: Tables, labels: dict[int, str]) -> dict[str, str]:
    """Return the names of the programs, by the labels of their processes."""
    program_names = {}
    for process, program_name in tables.rows("PROCESSES", ["globalPid", "name"]):
        if isinstance(process, int) and program_name:
            program_names[unsigned(process)] = str(program_name)
    programs = {}
    for process, process_label in labels.items():
        if unsigned(process) in program_names:
            programs[process_label] = program_names[unsigned(process)]
    return programs


def _schema_version(tables: Tables) -> str:
    for table_name in SCHEMA_TABLES:
        for entry_name, entry_value in tables.rows(table_name, ["name", "value"]):
            if entry_name == "EXPORT_SCHEMA_VERSION":
                return str(entry_value)
    return ""


def _session_start_ns(tables: Tables) -> int | None:
    """Return the time that the export's 0 stands for, ns since 1970."""
    for (utc_epoch_ns,) in tables.rows("TARGET_INFO_SESSION_START_TIME", ["utcEpochNs"]):
        if isinstance(utc_epoch_ns, int):
            return utc_epoch_ns
    return None


def _messages(tables: Tables, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Return what the profiler itself said of one kind of trouble, each message once."""
    messages = [
        str(message_text)
        for (message_text,) in tables.rows("DIAGNOSTIC_EVENT", ["text"])
        if message_text
    ]
    return tuple(
        message_text
        for message_text in dict.fromkeys(messages)
        if pattern.search(message_text)
    )
