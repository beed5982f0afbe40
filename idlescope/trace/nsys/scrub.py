"""Scrub a Nsight Systems export, an SQLite file or a folder of Parquet files: known tables, and of each known columns.

Environment, command lines, host names, captured output and lists of processes stand in tables of their own and in
StringIds. The copy is built anew, so that no freed page holds them either; of StringIds it has only what the copied
columns refer to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from idlescope.trace.damage import LOSS, Damage
from idlescope.trace.nsys.columns import PROCESS_BITS, pid_of, unsigned
from idlescope.trace.nsys.ranges import OPERATOR
from idlescope.trace.nsys.reader import SCHEMA_TABLES
from idlescope.trace.nsys.tables import (
    NULL,
    ROWS_AT_ONCE,
    ParquetTables,
    SqliteTables,
    Tables,
    open_tables,
)
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import loss
from idlescope.trace.scrub.texts import Texts
from idlescope.trace.table import Int64
from idlescope.trace.whole_files import new_database

ON_DEVICE = (
    "start",
    "end",
    "deviceId",
    "contextId",
    "greenContextId",
    "streamId",
    "correlationId",
    "globalPid",
)
# Tables of numbers, the columns that are copied from each; those of STRINGS refer to StringIds.
NUMBERS: dict[str, tuple[str, ...]] = {
    "CUPTI_ACTIVITY_KIND_KERNEL": (
        *ON_DEVICE, "demangledName", "shortName", "mangledName", "launchType", "cacheConfig", "registersPerThread",
        "gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ", "staticSharedMemory", "dynamicSharedMemory",
        "localMemoryPerThread", "localMemoryTotal", "gridId", "sharedMemoryExecuted", "graphNodeId", "graphId",
        "sharedMemoryLimitConfig", "clusterX", "clusterY", "clusterZ",
    ),
    "CUPTI_ACTIVITY_KIND_MEMCPY": (
        *ON_DEVICE, "bytes", "copyKind", "srcKind", "dstKind", "srcDeviceId", "srcContextId", "dstDeviceId",
        "dstContextId", "graphNodeId", "copyCount",
    ),
    "CUPTI_ACTIVITY_KIND_MEMSET": (*ON_DEVICE, "value", "bytes", "graphNodeId", "memKind"),
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": (*ON_DEVICE, "graphId", "graphExecId"),
    "CUPTI_ACTIVITY_KIND_RUNTIME": (
        "start", "end", "eventClass", "globalTid", "correlationId", "nameId", "returnValue",
    ),
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": (*ON_DEVICE, "deprecatedSyncType", "syncType", "eventId", "eventSyncId"),
    "CUPTI_ACTIVITY_KIND_OVERHEAD": (
        "start", "end", "eventClass", "globalTid", "correlationId", "nameId", "overheadType",
    ),
    "PROFILER_OVERHEAD": ("start", "end", "globalTid", "nameId", "overheadType"),
    "CUDA_GRAPH_NODE_EVENTS": (
        "start", "end", "nameId", "eventClass", "globalTid", "graphNodeId", "originalGraphNodeId",
    ),
    "NVTX_EVENTS": (
        "start", "end", "eventType", "rangeId", "category", "color", "globalTid", "endGlobalTid", "textId", "domainId",
        "uint64Value", "int64Value", "uint32Value", "int32Value",
    ),
    "TARGET_INFO_CUDA_STREAM": ("streamId", "hwId", "vmId", "processId", "contextId", "priority", "flag"),
}  # fmt: skip
STRINGS = frozenset({"demangledName", "shortName", "mangledName", "nameId", "textId"})
TEXTS = {"NVTX_EVENTS": "text"}
# Small tables, with columns of text among the others. Paths are cut in it, a GPU's serial number is replaced.
FACTS: dict[str, tuple[str, ...]] = {
    "TARGET_INFO_GPU": (
        "vmId", "id", "name", "busLocation", "isDiscrete", "l2CacheSize", "totalMemory", "memoryBandwidth",
        "clockRate", "smCount", "uuid", "chipName", "cuDevice", "computeMajor", "computeMinor",
    ),
    "TARGET_INFO_CUDA_DEVICE": ("gpuId", "cudaId", "pid", "uuid", "numMultiprocessors"),
}  # fmt: skip
ENUMERATIONS = (
    "ENUM_CUDA_MEMCPY_OPER", "ENUM_CUDA_MEM_KIND", "ENUM_CUDA_KERNEL_LAUNCH_TYPE", "ENUM_CUDA_FUNC_CACHE_CONFIG",
    "ENUM_CUDA_SHARED_MEM_LIMIT_CONFIG", "ENUM_CUPTI_OVERHEAD_TYPE", "ENUM_CUPTI_STREAM_TYPE", "ENUM_CUPTI_SYNC_TYPE",
    "ENUM_NSYS_EVENT_CLASS", "ENUM_NSYS_EVENT_TYPE", "ENUM_DIAGNOSTIC_SEVERITY_LEVEL", "ENUM_DIAGNOSTIC_SOURCE_TYPE",
    "ENUM_DIAGNOSTIC_TIMESTAMP_SOURCE",
)  # fmt: skip
EXPORT_FACTS = frozenset({
    "EXPORT_PRODUCT_NAME", "EXPORT_PRODUCT_VERSION", "EXPORT_SCHEMA_VERSION", "EXPORT_SCHEMA_VERSION_MAJOR",
    "EXPORT_SCHEMA_VERSION_MINOR", "EXPORT_SCHEMA_VERSION_MICRO",
})  # fmt: skip
REMOVED = {  # what the user is told of tables that are known to tell more than they should
    "META_DATA_CAPTURE": "environment, command lines and settings of the capture",
    "TARGET_INFO_SYSTEM_ENV": "facts about the machine",
    "TARGET_INFO_SESSION_START_TIME": "times of the capture",
    "ANALYSIS_FILE": "captured files",
    "ProcessStreams": "captured output of processes",
}
Rows = Sequence[tuple[Any, ...]]


class Sink(Protocol):
    """Where the copied tables go."""

    def numbers(
        self, table: str, columns: Mapping[str, Int64], texts: Mapping[str, list[str | None]]
    ) -> None:
        """Write a table of integers, NULL standing for none, and columns of text beside them."""

    def rows(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:
        """Write a small table."""


def scrub(
    source: Path, target: Path, result: Scrubbed, progress: Callable[[int], None] | None = None
) -> None:
    """Write the export anew: a folder of Parquet files where it is one, else an SQLite file."""
    with open_tables(source) as tables:
        if isinstance(tables, ParquetTables):
            target.mkdir()
            _Copy(tables, _ParquetSink(target), result, progress).run()
            return
        with new_database(target) as database:
            _Copy(tables, _SqliteSink(database), result, progress).run()


class _Copy:
    def __init__(
        self, tables: Tables, sink: Sink, result: Scrubbed, progress: Callable[[int], None] | None
    ) -> None:
        self.tables = tables
        self.sink = sink
        self.result = result
        self.progress = progress
        self.texts = Texts(result)
        self.names: set[str] = set()
        self.strings: set[int] = set()
        self.threads: set[int] = set()
        self.copied = 0

    def run(self) -> None:
        for table, columns in NUMBERS.items():
            self._numbers(table, columns)
        for table, columns in FACTS.items():
            self._facts(table, columns)
        for table in ENUMERATIONS:
            self._rows(
                table,
                {"id": int, "name": str, "label": str},
                self.tables.rows(table, ["id", "name", "label"]),
            )
        self._about()
        self._people()
        found = self.tables.strings(sorted(self.strings))
        named = [(i, self._named(text)) for i, text in found.items()]
        self._rows("StringIds", {"id": int, "value": str}, named)
        self._count_rest(len(named))
        self.result.names += len(self.names)

    def _named(self, text: str) -> str:
        name = self.texts.name(text)
        self.names.add(
            OPERATOR.split(name, 1)[0]
        )  # as readers count them, without the ids of single operators
        return name

    def _rows(self, table: str, columns: dict[str, type], rows: Rows) -> None:
        """Write the rows with what is not of its column's type left out."""
        cleaned = [
            tuple(
                self._value(column, value) if isinstance(value, kind) else None
                for value, (column, kind) in zip(row, columns.items(), strict=True)
            )
            for row in rows
        ]
        if cleaned:
            self.sink.rows(table, columns, cleaned)

    def _value(self, column: str, value: Any) -> Any:
        if column == "uuid":
            return self.texts.identity(value)
        return self.texts.text(value) if isinstance(value, str) and column != "value" else value

    def _numbers(self, table: str, wanted: tuple[str, ...]) -> None:
        there = [c for c in wanted if c in self.tables.columns(table)]
        if not there:
            return
        columns = self.tables.integers(table, dict.fromkeys(there, NULL), Damage())
        rows = len(next(iter(columns.values())))
        texts: dict[str, list[str | None]] = {}
        if (column := TEXTS.get(table)) in self.tables.columns(table) and column is not None:
            codes, distinct = self.tables.texts(table, column, self._named)
            choices: list[str | None] = [*distinct, None]
            texts[column] = [choices[code] for code in codes.tolist()]
        for column in there:
            if column in STRINGS:
                self.strings.update(np.unique(columns[column]).tolist())
            elif column in ("globalTid", "endGlobalTid", "globalPid"):
                self.threads.update(np.unique(columns[column]).tolist())
        if rows:
            self.sink.numbers(table, columns, texts)
        self.copied += rows
        if self.progress is not None:
            self.progress(self.copied)

    def _facts(self, table: str, wanted: tuple[str, ...]) -> None:
        there = [c for c in wanted if c in self.tables.columns(table)]
        text = {"name", "busLocation", "uuid", "chipName"}
        self._rows(
            table, {c: str if c in text else int for c in there}, self.tables.rows(table, there)
        )

    def _about(self) -> None:
        """Copy what version of the schema the export has, and that records were lost."""
        for table in SCHEMA_TABLES:
            facts = self.tables.rows(table, ["name", "value"])
            kept = [
                (name, self.texts.text(str(value))) for name, value in facts if name in EXPORT_FACTS
            ]
            self.result.remove(
                "users, hosts, files and times of the export", len(facts) - len(kept)
            )
            self._rows(table, {"name": str, "value": str}, kept)
        columns = {
            "timestamp": int,
            "timestampType": int,
            "source": int,
            "severity": int,
            "text": str,
        }
        said = self.tables.rows("DIAGNOSTIC_EVENT", list(columns))
        losses = [
            (*row[:-1], loss(row[-1]))
            for row in said
            if isinstance(row[-1], str) and LOSS.search(row[-1])
        ]
        self.result.remove("messages of the profiler", len(said) - len(losses))
        self._rows("DIAGNOSTIC_EVENT", columns, losses)

    def _people(self) -> None:
        """Copy the names of the threads that have records, and the ids of their processes."""
        threads = {unsigned(t) for t in self.threads if t != NULL}
        processes = {unsigned(t & PROCESS_BITS) for t in self.threads if t != NULL}
        names = self.tables.rows("ThreadNames", ["nameId", "priority", "globalTid"])
        kept = [row for row in names if isinstance(row[2], int) and unsigned(row[2]) in threads]
        self.result.remove("names of threads without records", len(names) - len(kept))
        self.strings.update(row[0] for row in kept if isinstance(row[0], int))
        self._rows("ThreadNames", {"nameId": int, "priority": int, "globalTid": int}, [
            (name, priority, _signed(thread)) for name, priority, thread in kept
        ])  # fmt: skip
        there = self.tables.rows("PROCESSES", ["globalPid", "name"])
        self.result.remove("names of processes", len(there))
        self._rows("PROCESSES", {"globalPid": int, "pid": int}, [
            (_signed(process), pid_of(process)) for process in sorted(processes)
        ])  # fmt: skip

    def _count_rest(self, strings: int) -> None:
        known = {
            *NUMBERS,
            *FACTS,
            *ENUMERATIONS,
            *SCHEMA_TABLES,
            "DIAGNOSTIC_EVENT",
            "ThreadNames",
            "PROCESSES",
        }
        for table, rows in _sizes(self.tables):
            if table == "StringIds":
                self.result.remove("texts that nothing copied refers to", rows - strings)
            elif table in REMOVED:
                self.result.remove(f"{REMOVED[table]} ({table})", rows)
            elif table not in known and not table.startswith("ENUM_"):
                self.result.remove("rows of tables that idlescope does not know", rows)


def _sizes(tables: Tables) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of rows of every table of an export."""
    if isinstance(tables, ParquetTables):
        from pyarrow import parquet

        for path in sorted(tables.folder.glob("*.parquet")):
            yield path.stem, parquet.read_metadata(path).num_rows
    elif isinstance(tables, SqliteTables):
        names = tables.connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (name,) in sorted(names):
            table = name.decode("utf-8", "replace")
            quoted = table.replace('"', '""')
            try:
                yield (
                    table,
                    tables.connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0],
                )  # noqa: S608
            except sqlite3.Error:  # a damaged table that is not copied does not stop the others
                yield table, 1


def _signed(global_id: int) -> int:
    """Return an id as SQLite holds it."""
    return global_id - 2**64 if global_id >= 2**63 else global_id


class _SqliteSink:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def numbers(
        self, table: str, columns: Mapping[str, Int64], texts: Mapping[str, list[str | None]]
    ) -> None:
        types = dict.fromkeys(columns, int) | dict.fromkeys(texts, str)
        self._fill(table, types, _rows_of(list(columns.values()), list(texts.values())))

    def rows(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:
        self._fill(table, columns, iter(rows))

    def _fill(
        self, table: str, columns: Mapping[str, type], rows: Iterator[tuple[Any, ...]]
    ) -> None:
        declared = ", ".join(
            f'"{c}" {"TEXT" if kind is str else "INTEGER"}' for c, kind in columns.items()
        )
        self._database.execute(f'CREATE TABLE "{table}" ({declared})')
        marks = ", ".join("?" * len(columns))
        self._database.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)  # noqa: S608 - names of our own


def _rows_of(columns: list[Int64], texts: list[list[str | None]]) -> Iterator[tuple[Any, ...]]:
    """Yield rows a stretch at a time: a Python integer takes four times the space of one in a column."""
    for first in range(0, len(columns[0]), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        values = [[None if v == NULL else v for v in c[some].tolist()] for c in columns]
        yield from zip(*values, *(t[some] for t in texts), strict=True)


class _ParquetSink:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def numbers(
        self, table: str, columns: Mapping[str, Int64], texts: Mapping[str, list[str | None]]
    ) -> None:
        import pyarrow as pa

        arrays: dict[str, Any] = {
            c: pa.array(v, pa.int64(), mask=v == NULL) for c, v in columns.items()
        }
        self._write(table, arrays | {c: pa.array(v, pa.string()) for c, v in texts.items()})

    def rows(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:
        import pyarrow as pa

        types = [pa.string() if kind is str else pa.int64() for kind in columns.values()]
        arrays = zip(columns, types, zip(*rows, strict=True), strict=True)
        self._write(table, {c: pa.array(values, kind) for c, kind, values in arrays})

    def _write(self, table: str, arrays: dict[str, Any]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table(arrays), self._folder / f"{table}.parquet", compression="zstd")
