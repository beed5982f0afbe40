"""The device operations of an export: kernels, copies, memsets and whole graphs."""

from __future__ import annotations

import numpy as np

from idlescope.trace.distinct import indexed
from idlescope.trace.model import OperationKind as Kind
from idlescope.trace.model import Operations
from idlescope.trace.nsys.columns import NO_STRING, Export, coded
from idlescope.trace.nsys.tables import Tables
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.table import Int32, Int64

TABLES = {
    "CUPTI_ACTIVITY_KIND_KERNEL": Kind.KERNEL,
    "CUPTI_ACTIVITY_KIND_MEMCPY": Kind.MEMCPY,
    "CUPTI_ACTIVITY_KIND_MEMSET": Kind.MEMSET,
    # nsys's default: one row per launch in place of the graph's kernels
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": Kind.GRAPH,
}
KERNEL_NAMES = ("demangledName", "shortName", "mangledName")  # most telling first
# the columns that an operation's name is made of, with what stands for their NULLs
NAME_COLUMNS = {
    Kind.KERNEL: {KERNEL_NAMES[0]: NO_STRING},
    Kind.MEMCPY: {"bytes": 0, "copyKind": -1, "srcKind": -1, "dstKind": -1},
    Kind.MEMSET: {"bytes": 0, "memKind": -1},
    Kind.GRAPH: {"graphId": -1},
}

# Exports hold these in the tables ENUM_CUDA_MEMCPY_OPER and ENUM_CUDA_MEM_KIND, the oldest do not.
COPIES = {
    1: "HTOD",
    2: "DTOH",
    3: "HTOA",
    4: "ATOH",
    5: "ATOA",
    6: "ATOD",
    7: "DTOA",
    8: "DTOD",
    9: "HTOH",
    10: "PTOP",
    11: "UVM_HTOD",
    12: "UVM_DTOH",
    13: "UVM_DTOD",
}
COPY_PREFIX = "CUDA_MEMCPY_KIND_"
MEMORY = {
    0: "Pageable",
    1: "Pinned",
    2: "Device",
    3: "Array",
    4: "Managed",
    5: "Device Static",
    6: "Managed Static",
}


def read(export: Export, only_process: int) -> Operations:
    """Return all operations; `only_process` is the globalPid of those that come without one."""
    table_parts = [
        _operations(export, table_name, operation_kind, only_process)
        for table_name, operation_kind in TABLES.items()
    ]
    return Operations.joined(table_parts)


def _operations(export: Export, table: str, kind: Kind, only_process: int) -> Operations:
    wanted = {
        "deviceId": NULL,
        "streamId": 0,
        "correlationId": 0,
        "globalPid": only_process,
        **NAME_COLUMNS[kind],
    }
    all_rows, usable = export.timed(table, wanted, "operations")
    name_codes = _names(export, table, kind, all_rows)[usable]
    usable_rows = {column: values[usable] for column, values in all_rows.items()}
    row_count = len(usable)
    return Operations(
        start=usable_rows["start"],
        end=usable_rows["end"],
        kind=np.full(row_count, kind, np.uint8),
        device=_devices(export, usable_rows["globalPid"], usable_rows["deviceId"]),
        stream=coded(export.streams, usable_rows["streamId"]),
        name=name_codes,
        correlation=usable_rows["correlationId"],
        step=np.full(row_count, -1, np.int32),
        bytes=usable_rows.get("bytes", np.zeros(row_count, np.int64)),
        flops=np.zeros(row_count),
    )


def _devices(export: Export, global_pids: Int64, device_numbers: Int64) -> Int32:
    """Return each row's device, as an index of the pairs of a process and its device number."""
    processes, process_index = indexed(global_pids)
    numbers, number_index = indexed(device_numbers)
    device_pairs, pair_index = indexed(process_index * len(numbers) + number_index)
    devices = []
    for device_pair in device_pairs.tolist():
        process, number = divmod(device_pair, len(numbers))
        devices.append((int(processes[process]), int(numbers[number])))
    return export.devices.codes(devices)[pair_index]


def _names(export: Export, table: str, kind: Kind, rows: dict[str, Int64]) -> Int32:
    if kind == Kind.KERNEL:
        return _kernel_names(export, table, rows[KERNEL_NAMES[0]])
    if kind == Kind.GRAPH:
        return export.labelled(_graph_name, rows["graphId"])
    memory = MEMORY | _enumeration(export.tables, "ENUM_CUDA_MEM_KIND", "label")
    if kind == Kind.MEMSET:
        return _memset_names(export, rows, memory)
    return _copy_names(export, rows, memory)


def _graph_name(graph: int) -> str:
    return f"graph {graph}" if graph >= 0 else "graph"


def _memset_names(export: Export, rows: dict[str, Int64], memory: dict[int, str]) -> Int32:
    def memset_name(kind: int) -> str:
        return f"Memset ({memory[kind]})" if kind in memory else "Memset"

    return export.labelled(memset_name, rows["memKind"])


def _copy_names(export: Export, rows: dict[str, Int64], memory: dict[int, str]) -> Int32:
    """Return names as Kineto writes them, such as `Memcpy HtoD (Pageable -> Device)`."""
    copies = COPIES | _enumeration(export.tables, "ENUM_CUDA_MEMCPY_OPER", "name")

    def copy_name(copy: int, source: int, target: int) -> str:
        name_words = ["Memcpy"]
        if direction := copies.get(copy, "").removeprefix(COPY_PREFIX):
            name_words.append(direction.replace("TO", "to").replace("_", " "))
        if source in memory or target in memory:
            name_words.append(f"({memory.get(source, '?')} -> {memory.get(target, '?')})")
        return " ".join(name_words)

    return export.labelled(copy_name, rows["copyKind"], rows["srcKind"], rows["dstKind"])


def _kernel_names(export: Export, table: str, ids: Int64) -> Int32:
    """Return each kernel's most telling name; the other columns are read where one has none."""
    kernel_names = export.named(ids)
    for column in KERNEL_NAMES[1:]:
        unnamed = kernel_names < 0
        if not unnamed.any():
            return kernel_names
        other_ids = export.integers(table, {column: NO_STRING})[column]
        kernel_names[unnamed] = export.named(other_ids[unnamed])
    kernel_names[kernel_names < 0] = export.names.code("kernel")
    return kernel_names


def _enumeration(tables: Tables, table: str, column: str) -> dict[int, str]:
    enumeration_rows = tables.rows(table, ["id", column])
    return {
        entry_code: str(entry_text)
        for entry_code, entry_text in enumeration_rows
        if isinstance(entry_code, int) and entry_text
    }
