"""Make Nsight Systems exports of known content, as SQLite files and Parquet directories, in the schemas of two ages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

KERNELS, COPIES, MEMSETS = (
    f"CUPTI_ACTIVITY_KIND_{kind}" for kind in ("KERNEL", "MEMCPY", "MEMSET")
)
GRAPHS, CALLS, OVERHEAD = (
    f"CUPTI_ACTIVITY_KIND_{kind}" for kind in ("GRAPH_TRACE", "RUNTIME", "OVERHEAD")
)
NVTX = "NVTX_EVENTS"

# The columns that tools read, in their order; those between bars came after 2022.
_OPERATION = (
    "start end deviceId contextId | greenContextId | streamId correlationId globalPid"
)
COLUMNS = {
    "StringIds": "id value",
    KERNELS: f"{_OPERATION} demangledName shortName mangledName gridX blockX | graphNodeId graphId",
    COPIES: f"{_OPERATION} bytes copyKind srcKind dstKind | graphNodeId copyCount",
    MEMSETS: f"{_OPERATION} value bytes memKind | graphNodeId",
    GRAPHS: f"{_OPERATION} graphId graphExecId",
    CALLS: "start end eventClass globalTid correlationId nameId returnValue callchainId",
    NVTX: "start end eventType rangeId category color text globalTid endGlobalTid | textId | domainId uint64Value "
          "int64Value uint32Value int32Value | jsonText binaryData",
    OVERHEAD: "start end eventClass globalTid correlationId nameId overheadType",
    "PROFILER_OVERHEAD": "start end globalTid nameId returnValue",
    "ThreadNames": "nameId priority globalTid",
    "PROCESSES": "globalPid pid name",
    "TARGET_INFO_GPU": "vmId id name busLocation uuid cuDevice",
    "TARGET_INFO_CUDA_DEVICE": "gpuId cudaId pid uuid",
    "TARGET_INFO_SESSION_START_TIME": "utcEpochNs utcTime",
    "META_DATA_EXPORT": "name value",
    "EXPORT_META_DATA": "name value",
    "DIAGNOSTIC_EVENT": "timestamp source severity text globalPid",
    "ENUM_CUDA_MEMCPY_OPER": "id name label",
    "ENUM_CUDA_MEM_KIND": "id name label",
}  # fmt: skip
TEXT = {
    "value",
    "text",
    "name",
    "label",
    "busLocation",
    "uuid",
    "utcTime",
    "jsonText",
    "binaryData",
}
# Parquet columns have the types that nsys gives them: what SQLite stores signed is unsigned there.
UNSIGNED = {"contextId", "greenContextId", "streamId", "globalPid", "globalTid", "endGlobalTid", "demangledName",
            "shortName", "mangledName", "nameId", "rangeId", "category", "domainId", "uint64Value", "pid", "bytes",
            "utcEpochNs", "graphNodeId", "priority"}  # fmt: skip


def process(pid: int, machine: int = 1) -> int:
    """Return the globalPid of a process."""
    return (machine << 48) | (pid << 24)


class Export:
    """The rows of an export; `old` leaves out what came after 2022. A row is a dict, so any column may be damaged."""

    def __init__(self, old: bool = False) -> None:
        self.old = old
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.ids: dict[str, int] = {}
        self.add("EXPORT_META_DATA" if old else "META_DATA_EXPORT", name="EXPORT_SCHEMA_VERSION",
                 value="2.9.1" if old else "3.25.0")  # fmt: skip

    def add(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append(row)

    def string(self, text: str) -> int:
        if text not in self.ids:
            self.ids[text] = 10 * len(
                self.ids
            )  # the first is 0, which is an id like any other
            self.add("StringIds", id=self.ids[text], value=text)
        return self.ids[text]

    def _operation(self, table: str, start: Any, end: Any, correlation: int, pid: int, device: int, stream: int,
                   row: dict[str, Any]) -> None:  # fmt: skip
        self.add(table, **{
            "start": start, "end": end, "deviceId": device, "contextId": 1, "greenContextId": 0, "streamId": stream,
            "correlationId": correlation, "globalPid": process(pid), **row,
        })  # fmt: skip

    def kernel(self, start: Any, end: Any, correlation: int = 0, pid: int = 100, device: int = 0, stream: int = 7,
               name: str = "void k<(int)4>(float *)", **row: Any) -> None:  # fmt: skip
        names = {
            "demangledName": self.string(name),
            "shortName": self.string("k"),
            "mangledName": self.string("_Z1k"),
        }
        self._operation(
            KERNELS,
            start,
            end,
            correlation,
            pid,
            device,
            stream,
            names | {"gridX": 1, "blockX": 32} | row,
        )

    def copy(self, start: int, end: int, correlation: int = 0, pid: int = 100, device: int = 0, stream: int = 7,
             ways: tuple[int | None, ...] = (1, 1, 2), **row: Any) -> None:  # fmt: skip
        ways_of = dict(zip(("copyKind", "srcKind", "dstKind"), ways, strict=True))
        self._operation(
            COPIES,
            start,
            end,
            correlation,
            pid,
            device,
            stream,
            {"bytes": 4096} | ways_of | row,
        )

    def memset(self, start: int, end: int, correlation: int = 0, pid: int = 100, device: int = 0, stream: int = 7,
               **row: Any) -> None:  # fmt: skip
        self._operation(
            MEMSETS,
            start,
            end,
            correlation,
            pid,
            device,
            stream,
            {"value": 0, "bytes": 64, "memKind": 2} | row,
        )

    def graph(self, start: int, end: int, correlation: int = 0, pid: int = 100, device: int = 0, stream: int = 7,
              graph: int = 3, **row: Any) -> None:  # fmt: skip
        ids = {"graphId": graph, "graphExecId": graph + 1}
        self._operation(GRAPHS, start, end, correlation, pid, device, stream, ids | row)

    def call(self, start: Any, end: Any, correlation: int = 0, name: str = "cudaLaunchKernel_v7000", pid: int = 100,
             tid: int = 101, **row: Any) -> None:  # fmt: skip
        self.add(CALLS, **{
            "start": start, "end": end, "eventClass": 0, "globalTid": process(pid) | tid, "correlationId": correlation,
            "nameId": self.string(name), "returnValue": 0, **row,
        })  # fmt: skip

    def range(self, start: int, end: Any, text: str, registered: bool = False, domain: int = 0, pid: int = 100,
              tid: int = 101, event: int = 59, **row: Any) -> None:  # fmt: skip
        named = (
            {"textId": self.string(text)} if registered and not self.old else {"text": text}
        )
        self.add(NVTX, **{
            "start": start, "end": end, "eventType": event, "globalTid": process(pid) | tid, "domainId": domain,
            **named, **row,
        })  # fmt: skip

    def domain(self, number: int, name: str, pid: int = 100) -> None:
        self.range(0, None, name, domain=number, pid=pid, event=75)

    def _columns(self, table: str) -> list[str]:
        groups = COLUMNS[table].split("|")
        return [
            c
            for i, group in enumerate(groups)
            for c in group.split()
            if not (self.old and i % 2)
        ]

    def sqlite(self, path: Path) -> Path:
        """Write an SQLite file; tables without rows are left out, as nsys does."""
        with closing(sqlite3.connect(path)) as database, database:
            for table, rows in self.rows.items():
                columns = self._columns(table)
                types = ", ".join(f'"{c}" {_sqlite_type(table, c)}' for c in columns)
                database.execute(f'CREATE TABLE "{table}" ({types})')
                places = ", ".join("?" * len(columns))
                values = [[row.get(c) for c in columns] for row in rows]
                database.executemany(f'INSERT INTO "{table}" VALUES ({places})', values)  # noqa: S608
        return path

    def parquet(self, folder: Path) -> Path:
        """Write a directory of Parquet files."""
        import pyarrow as pa
        from pyarrow import parquet

        folder.mkdir()
        for table, rows in self.rows.items():
            columns = self._columns(table)
            types = {c: pa.string() if _is_text(table, c) else pa.uint64() if c in UNSIGNED else pa.int64()
                     for c in columns}  # fmt: skip
            data = pa.table(
                {c: pa.array([row.get(c) for row in rows], types[c]) for c in columns}
            )
            parquet.write_table(data, folder / f"{table}.parquet")
        return folder


def _is_text(table: str, column: str) -> bool:
    return column in TEXT and (table, column) != (MEMSETS, "value")


def _sqlite_type(table: str, column: str) -> str:
    key = " PRIMARY KEY" if (table, column) == ("StringIds", "id") else ""
    return ("TEXT" if _is_text(table, column) else "INTEGER") + key
