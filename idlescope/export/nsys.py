"""Write a Trace as an Nsight Systems SQLite export: those tables and columns of nsys 2024 that a Trace can fill.

Columns that only the hardware knows (grids, registers, return values) are left out or zero. `left_out` counts what has
no place in an export: counters, steps, the work of compute operations (FLOPs, bytes), the names of graph-level records,
Python frames, garbage collection and ranges without demand. Operators are NVTX ranges in the form that PyTorch's
`emit_nvtx` gives them, so that they read back as operators. Streams have numbers there, not names.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from idlescope import __version__
from idlescope.export.perfetto import lanes
from idlescope.export.processes import pids, process_names
from idlescope.trace.interner import Interner
from idlescope.trace.model import Device, OperationKind, RangeKind, Trace
from idlescope.trace.whole_files import new_database

NAMED_STREAMS = 1000  # streams without a number are given this and the following ones
VM = 1 << 48  # the virtual machine field of a globalPid; nsys numbers the only one 1
PUSH_POP, START_END = 59, 60  # NVTX event types
# ENUM_CUDA_MEMCPY_OPER and ENUM_CUDA_MEM_KIND of an export, for names in Kineto's form "Memcpy HtoD (Pinned -> Device)"
COPY_KINDS = {"HtoD": 1, "DtoH": 2, "HtoA": 3, "AtoH": 4, "AtoA": 5, "AtoD": 6, "DtoA": 7, "DtoD": 8, "HtoH": 9,
              "PtoP": 10}  # fmt: skip
MEMORY_KINDS = {"Pageable": 0, "Pinned": 1, "Device": 2, "Array": 3, "Managed": 4}
COPY_NAME = re.compile(r"\b([HDAP]to[HDAP])\b(?: \((\w+) -> (\w+)\))?")
DRIVER_CALL = re.compile(r"^cu[A-Z]")

ON_DEVICE = (
    "start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL, contextId INTEGER NOT NULL, "
    "streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER"
)
SCHEMA = {
    "CUPTI_ACTIVITY_KIND_KERNEL": f"{ON_DEVICE}, demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, "
    "mangledName INTEGER",
    "CUPTI_ACTIVITY_KIND_MEMCPY": f"{ON_DEVICE}, bytes INTEGER NOT NULL, copyKind INTEGER NOT NULL, srcKind INTEGER, "
    "dstKind INTEGER",
    "CUPTI_ACTIVITY_KIND_MEMSET": f"{ON_DEVICE}, value INTEGER NOT NULL, bytes INTEGER NOT NULL",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": f"{ON_DEVICE}, graphId INTEGER, graphExecId INTEGER",
    "CUPTI_ACTIVITY_KIND_RUNTIME": "start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL, "
    "globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, "
    "callchainId INTEGER",
    "NVTX_EVENTS": "start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, rangeId INTEGER, text TEXT, "
    "globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER, domainId INTEGER",
    "PROFILER_OVERHEAD": "start INTEGER NOT NULL, end INTEGER NOT NULL, globalTid INTEGER, nameId INTEGER NOT NULL, "
    "overheadType INTEGER",
    "DIAGNOSTIC_EVENT": "timestamp INTEGER NOT NULL, timestampType INTEGER NOT NULL, source INTEGER NOT NULL, "
    "severity INTEGER NOT NULL, text TEXT NOT NULL, globalPid INTEGER",
    "ThreadNames": "nameId INTEGER NOT NULL, priority INTEGER, globalTid INTEGER",
    "PROCESSES": "globalPid INTEGER, pid INTEGER, name TEXT",
    "TARGET_INFO_GPU": "vmId INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT, uuid TEXT, cuDevice INTEGER",
    "TARGET_INFO_CUDA_DEVICE": "gpuId INTEGER NOT NULL, cudaId INTEGER NOT NULL, pid INTEGER NOT NULL, uuid TEXT",
    "META_DATA_EXPORT": "name TEXT NOT NULL, value TEXT",
    "StringIds": "id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL",
}
EXPORT = {
    "EXPORT_PRODUCT_NAME": "idlescope convert",
    "EXPORT_PRODUCT_VERSION": __version__,
    "EXPORT_SCHEMA_VERSION": "3.25.0",  # of nsys 2026.2, whose tables these are
    "EXPORT_SCHEMA_VERSION_MAJOR": "3",
    "EXPORT_SCHEMA_VERSION_MINOR": "25",
    "EXPORT_SCHEMA_VERSION_MICRO": "0",
}
Row = tuple[Any, ...]


def write(trace: Trace, path: Path) -> None:
    """Write an SQLite database; there must be no file of that name. Tables without rows are left out, as nsys does."""
    tables = _Tables(trace)
    with new_database(path) as database:
        for name, columns in SCHEMA.items():
            _fill(database, name, columns, tables.rows(name))


def _fill(database: sqlite3.Connection, name: str, columns: str, rows: Iterator[Row]) -> None:
    first = next(rows, None)
    if first is None:
        return
    marks = ", ".join("?" * len(first))
    database.execute(f"CREATE TABLE {name} ({columns})")
    database.execute(f"INSERT INTO {name} VALUES ({marks})", first)  # noqa: S608 - names of our own
    database.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608


def left_out(trace: Trace) -> list[str]:
    """Return one sentence for each kind of record that has no place in an Nsight export."""
    o, ranges = trace.operations, trace.ranges
    compute = (o.kind == OperationKind.KERNEL) | (o.kind == OperationKind.GRAPH)
    counts = {
        "counters": len(trace.counters),
        "Python frames": int((ranges.kind == RangeKind.FRAME).sum()),
        "garbage collections": int((ranges.kind == RangeKind.GARBAGE_COLLECTION).sum()),
        "ranges without demand": int((ranges.kind == RangeKind.NO_DEMAND).sum()),
        "steps": int(
            np.unique(
                np.concatenate((o.step, ranges.step))[np.concatenate((o.step, ranges.step)) >= 0]
            ).size
        ),
        "names of graph-level records": int((o.kind == OperationKind.GRAPH).sum()),
        "FLOPs and bytes of compute operations": int(
            (compute & ((o.flops != 0) | (o.bytes != 0))).sum()
        ),
        "names of streams": sum(not _is_number(s) for s in trace.streams),
    }
    return [
        f"{what} have no place in an Nsight export: {n:,} left out"
        for what, n in counts.items()
        if n
    ]


class _Tables:
    """The rows of each table of one trace. StringIds come last: the other tables fill them."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.strings: Interner[str] = Interner()
        self.names = [self.strings.code(name) for name in trace.names]
        self.pids = pids(trace)
        self.device_pid = np.array(
            [_global_pid(self.pids[d.process]) for d in trace.devices], np.int64
        )
        # threads are numbered from 1: a Trace knows them by a label, which ThreadNames keeps
        self.thread = np.array(
            [_global_pid(self.pids[t.process]) | (i + 1) for i, t in enumerate(trace.threads)],
            np.int64,
        )
        self.streams = np.array(_stream_numbers(trace.streams), np.int64)

    def rows(self, table: str) -> Iterator[Row]:
        """Return the rows of one of the tables of SCHEMA."""
        makers: dict[str, Callable[[], Iterator[Row]]] = {
            "CUPTI_ACTIVITY_KIND_KERNEL": self._kernels, "CUPTI_ACTIVITY_KIND_MEMCPY": self._copies,
            "CUPTI_ACTIVITY_KIND_MEMSET": self._memsets, "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": self._graphs,
            "CUPTI_ACTIVITY_KIND_RUNTIME": self._calls, "NVTX_EVENTS": self._ranges,
            "PROFILER_OVERHEAD": self._overhead, "DIAGNOSTIC_EVENT": self._warnings, "ThreadNames": self._threads,
            "PROCESSES": self._processes, "TARGET_INFO_GPU": self._gpus, "TARGET_INFO_CUDA_DEVICE": self._devices,
            "META_DATA_EXPORT": lambda: iter(EXPORT.items()),
            "StringIds": lambda: iter(enumerate(self.strings.values())),
        }  # fmt: skip
        return makers[table]()

    def _kernels(self) -> Iterator[Row]:
        for *place, name, _ in self._operations(OperationKind.KERNEL):
            yield *place, *(self.names[name],) * 3

    def _copies(self) -> Iterator[Row]:
        for *place, name, moved in self._operations(OperationKind.MEMCPY):
            found = COPY_NAME.search(self.trace.names[name])
            way, source, target = found.groups() if found else ("", "", "")
            yield (
                *place,
                moved,
                COPY_KINDS.get(way, 0),
                MEMORY_KINDS.get(source),
                MEMORY_KINDS.get(target),
            )

    def _memsets(self) -> Iterator[Row]:
        for *place, _, moved in self._operations(OperationKind.MEMSET):
            yield *place, 0, moved

    def _graphs(self) -> Iterator[Row]:
        for *place, _, _ in self._operations(OperationKind.GRAPH):
            yield *place, None, None

    def _operations(self, kind: OperationKind) -> Iterator[Row]:
        """Yield the columns of ON_DEVICE, the name and the bytes of each operation of a kind."""
        o = self.trace.operations
        o = o.take(o.kind == kind)
        index = np.array([d.index for d in self.trace.devices], np.int64)[o.device]
        context = np.ones_like(index)  # a Trace knows no contexts: one a process
        yield from _zip(
            o.start, o.end, index, context, self.streams[o.stream], o.correlation, self.device_pid[o.device],
            o.name, o.bytes,
        )  # fmt: skip

    def _calls(self) -> Iterator[Row]:
        calls = self.trace.calls
        driver = [DRIVER_CALL.match(name) is not None for name in self.trace.names]
        for start, end, thread, name, correlation in _zip(
            calls.start, calls.end, self.thread[calls.thread], calls.name, calls.correlation
        ):
            yield (
                start,
                end,
                int(driver[name]),
                thread,
                correlation or None,
                self.names[name],
                0,
                None,
            )

    def _ranges(self) -> Iterator[Row]:
        ranges = self.trace.ranges.take(self.trace.ranges.kind <= RangeKind.OPERATOR)
        # ranges that a thread pushes and pops nest; the others can only have been started and ended
        lane = lanes.by_group(ranges.start, ranges.end, ranges.thread.astype(np.int64))
        columns = (
            ranges.start,
            ranges.end,
            self.thread[ranges.thread],
            ranges.name,
            ranges.kind,
            lane,
        )
        for number, (start, end, thread, name, kind, apart) in enumerate(_zip(*columns)):
            text = (
                f"{self.trace.names[name]}, op_id = {number}"
                if kind == RangeKind.OPERATOR
                else None
            )
            event, range_id, ended_by = (
                (START_END, number + 1, thread) if apart else (PUSH_POP, None, None)
            )
            yield (
                start,
                end,
                event,
                range_id,
                text,
                thread,
                ended_by,
                None if text else self.names[name],
                0,
            )

    def _overhead(self) -> Iterator[Row]:
        ranges = self.trace.ranges.take(self.trace.ranges.kind == RangeKind.OVERHEAD)
        for start, end, thread, name in _zip(
            ranges.start, ranges.end, self.thread[ranges.thread], ranges.name
        ):
            yield start, end, thread, self.names[name], None

    def _warnings(self) -> Iterator[Row]:
        meta = self.trace.meta
        lost = meta.warnings if meta.lost or meta.truncated else ()
        for text in (
            *meta.dropped,
            *(f"records were lost: {warning}" for warning in lost),
        ):
            yield 0, 0, 0, 2, str(text), None  # severity 2: a warning

    def _threads(self) -> Iterator[Row]:
        for thread, global_tid in zip(self.trace.threads, self.thread.tolist(), strict=True):
            yield self.strings.code(thread.label), None, global_tid

    def _processes(self) -> Iterator[Row]:
        for process, name in process_names(self.trace).items():
            yield _global_pid(self.pids[process]), self.pids[process], name or None

    def _gpus(self) -> Iterator[Row]:
        for number, device in _gpu_numbers(self.trace.devices):
            yield VM >> 48, number, device.name, device.identity or None, device.index

    def _devices(self) -> Iterator[Row]:
        numbers = {d.identity or str(d.index): n for n, d in _gpu_numbers(self.trace.devices)}
        for d in self.trace.devices:
            yield (
                numbers[d.identity or str(d.index)],
                d.index,
                self.pids[d.process],
                d.identity or None,
            )


def _gpu_numbers(devices: Iterable[Device]) -> list[tuple[int, Device]]:
    """Return each GPU once with its number: the device's index, which several processes share, where it is free."""
    numbered: dict[str, tuple[int, Device]] = {}
    for device in devices:
        taken = {n for n, _ in numbered.values()}
        number = device.index if device.index not in taken else max(taken) + 1
        numbered.setdefault(device.identity or str(device.index), (number, device))
    return list(numbered.values())


def _global_pid(pid: int) -> int:
    return VM | pid << 24


def _is_number(stream: str) -> bool:
    return (
        stream.isascii()
        and stream.isdecimal()
        and str(int(stream)) == stream
        and int(stream) < 1 << 31
    )


def _stream_numbers(streams: Iterable[str]) -> list[int]:
    """Return the number of each stream: its own where its name is one, else the next that no stream has."""
    names = list(streams)
    following = max([NAMED_STREAMS, *(int(s) + 1 for s in names if _is_number(s))])
    numbers = []
    for name in names:
        numbers.append(int(name) if _is_number(name) else following)
        following += not _is_number(name)
    return numbers


def _zip(*columns: Any) -> Iterator[tuple[Any, ...]]:
    return zip(*(c.tolist() for c in columns), strict=True)
