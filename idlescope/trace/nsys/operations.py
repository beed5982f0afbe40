"""The operations of a Nsight Systems export: kernels, copies, memsets and whole graphs, and the GPUs they ran on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from idlescope.trace.model import OperationKind as Kind
from idlescope.trace.model import Operations
from idlescope.trace.nsys.columns import NO_STRING, Export, coded, distinct, pid_of
from idlescope.trace.nsys.tables import NULL, Tables
from idlescope.trace.table import Int32, Int64

TABLES = {
    "CUPTI_ACTIVITY_KIND_KERNEL": Kind.KERNEL,
    "CUPTI_ACTIVITY_KIND_MEMCPY": Kind.MEMCPY,
    "CUPTI_ACTIVITY_KIND_MEMSET": Kind.MEMSET,
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": Kind.GRAPH,  # nsys's default: one row a launch in place of the graph's kernels
}
KERNEL_NAMES = ("demangledName", "shortName", "mangledName")  # most telling first
NAMED_BY = {
    Kind.KERNEL: {KERNEL_NAMES[0]: NO_STRING},
    Kind.MEMCPY: {"bytes": 0, "copyKind": -1, "srcKind": -1, "dstKind": -1},
    Kind.MEMSET: {"bytes": 0, "memKind": -1},
    Kind.GRAPH: {"graphId": -1},
}

# Exports hold these in the tables ENUM_CUDA_MEMCPY_OPER and ENUM_CUDA_MEM_KIND, the oldest ones do not.
COPIES = {1: "HTOD", 2: "DTOH", 3: "HTOA", 4: "ATOH", 5: "ATOA", 6: "ATOD", 7: "DTOA", 8: "DTOD", 9: "HTOH",
          10: "PTOP", 11: "UVM_HTOD", 12: "UVM_DTOH", 13: "UVM_DTOD"}  # fmt: skip
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
    parts = [_rows(export, table, kind, only_process) for table, kind in TABLES.items()]
    return Operations.joined(parts)


def _rows(export: Export, table: str, kind: Kind, only_process: int) -> Operations:
    wanted = {
        "deviceId": NULL,
        "streamId": 0,
        "correlationId": 0,
        "globalPid": only_process,
        **NAMED_BY[kind],
    }
    rows, usable = export.timed(table, wanted, "operations")
    name = _names(export, table, kind, rows)[usable]
    rows = {column: values[usable] for column, values in rows.items()}
    return Operations(
        start=rows["start"],
        end=rows["end"],
        kind=np.full(len(name), kind, np.uint8),
        device=_devices(export, rows["globalPid"], rows["deviceId"]),
        stream=coded(export.streams, rows["streamId"]),
        name=name,
        correlation=rows["correlationId"],
        step=np.full(len(name), -1, np.int32),
        bytes=rows.get("bytes", np.zeros(len(name), np.int64)),
        flops=np.zeros(len(name)),
    )


def _devices(export: Export, global_pids: Int64, numbers: Int64) -> Int32:
    processes, process = distinct(global_pids)
    indices, index = distinct(numbers)
    pairs, pair = distinct(process * len(indices) + index)
    seen = [divmod(p, len(indices)) for p in pairs.tolist()]
    return export.devices.codes((int(processes[p]), int(indices[i])) for p, i in seen)[pair]


def _names(export: Export, table: str, kind: Kind, rows: dict[str, Int64]) -> Int32:
    if kind == Kind.KERNEL:
        return _kernel_names(export, table, rows[KERNEL_NAMES[0]])
    if kind == Kind.GRAPH:
        return export.labelled(
            lambda graph: f"graph {graph}" if graph >= 0 else "graph", rows["graphId"]
        )
    memory = MEMORY | _enumeration(export.tables, "ENUM_CUDA_MEM_KIND", "label")
    if kind == Kind.MEMSET:
        return export.labelled(
            lambda m: f"Memset ({memory[m]})" if m in memory else "Memset", rows["memKind"]
        )
    copies = COPIES | _enumeration(export.tables, "ENUM_CUDA_MEMCPY_OPER", "name")

    def copy_name(copy: int, source: int, target: int) -> str:
        way = copies.get(copy, "").removeprefix(COPY_PREFIX).replace("TO", "to").replace("_", " ")
        ends = f"({memory.get(source, '?')} -> {memory.get(target, '?')})"
        return " ".join(
            ["Memcpy"] + [way] * bool(way) + [ends] * (source in memory or target in memory)
        )

    return export.labelled(copy_name, rows["copyKind"], rows["srcKind"], rows["dstKind"])


def _kernel_names(export: Export, table: str, ids: Int64) -> Int32:
    name = export.named(ids)
    for column in KERNEL_NAMES[1:]:
        without = name < 0
        if not without.any():
            return name
        name[without] = export.named(export.integers(table, {column: NO_STRING})[column][without])
    name[name < 0] = export.names.code("kernel")
    return name


def _enumeration(tables: Tables, table: str, column: str) -> dict[int, str]:
    return {
        i: str(text)
        for i, text in tables.rows(table, ["id", column])
        if isinstance(i, int) and text
    }


def gpus(tables: Tables, devices: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    """Return name and identity (UUID, else PCI bus) of each (globalPid, device number), empty where unknown.

    Device numbers are a process's own: TARGET_INFO_CUDA_DEVICE tells which GPU each stands for, and where that table
    is missing TARGET_INFO_GPU has a number for each GPU, right for processes that see all of them.
    """
    known = tables.rows("TARGET_INFO_GPU", ["id", "cuDevice", "name", "uuid", "busLocation"])
    by_id = {row[0]: row[2:] for row in known}
    mapped = tables.rows("TARGET_INFO_CUDA_DEVICE", ["pid", "cudaId", "gpuId", "uuid"])
    by_number = (
        {row[0] if row[1] is None else row[1]: row[2:] for row in known} if not mapped else {}
    )
    of = {(pid, number): (gpu, uuid) for pid, number, gpu, uuid in mapped}
    found = []
    for global_pid, number in devices:
        gpu, uuid = of.get((pid_of(global_pid), number)) or of.get((None, number)) or (None, None)
        name, own_uuid, bus = (by_number.get(number) if gpu is None else by_id.get(gpu)) or (
            None,
            None,
            None,
        )
        found.append((str(name or ""), str(uuid or own_uuid or bus or "")))
    return found
