"""Keep a Trace on disk: a folder of one Parquet file per table, and `meta.json` for the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from idlescope.errors import TraceError
from idlescope.plain_files import read_plain
from idlescope.trace.mapped_columns import let_go
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Calls, Counters, Device, Operations, Ranges, Thread, Trace
from idlescope.trace.parquet_files import read_columns
from idlescope.trace.recording.checks import check, checked_column
from idlescope.trace.table import Table
from idlescope.trace.unseen import escaped

SCHEMA = 1
ROWS_AT_ONCE = 1 << 20  # that are written, as a group of the file
TABLES: dict[str, type[Table]] = {
    "operations": Operations,
    "calls": Calls,
    "ranges": Ranges,
    "counters": Counters,
}
FILES = {"counters": "samples"}  # files that are not called as their table
TableT = TypeVar("TableT", bound=Table)
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RecursionError,
    msgspec.MsgspecError,
)


class RecordingDocument(msgspec.Struct, frozen=True):
    """What `meta.json` holds: all of a Trace but its tables."""

    names: tuple[str, ...]
    devices: tuple[Device, ...]
    streams: tuple[str, ...]
    threads: tuple[Thread, ...]
    meta: dict[str, Any]
    schema: int = SCHEMA


def write(trace: Trace, folder: Path) -> None:
    """Write a Trace as a recording.

    The folder is created where it is missing; files of an earlier recording in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table_name in TABLES:
        _write_table(getattr(trace, table_name), _file(folder, table_name))
    (folder / "meta.json").write_bytes(encoded_document(trace))


def encoded_document(trace: Trace) -> bytes:
    """Return all of a Trace but its tables, as JSON."""
    document = {
        "schema": SCHEMA,
        "names": trace.names,
        "devices": msgspec.to_builtins(trace.devices),
        "streams": trace.streams,
        "threads": msgspec.to_builtins(trace.threads),
        "meta": trace.meta.to_json(),
    }
    # json, not msgspec: `meta` may hold NaN, and names halves of surrogate pairs
    document_text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    # halves of surrogate pairs, which no reader takes, are replaced; what is not shown is escaped
    return escaped(document_text.encode("utf-8", "replace").decode()).encode()


def read(folder: Path) -> Trace:
    """Return the Trace of a recording.

    Raises TraceError where a file is missing or is not what `write` wrote.
    """
    try:
        document = _read_document(folder)
        read_trace = Trace(
            operations=_read_table(folder, "operations", Operations),
            calls=_read_table(folder, "calls", Calls),
            ranges=_read_table(folder, "ranges", Ranges),
            counters=_read_table(folder, "counters", Counters),
            names=document.names,
            devices=document.devices,
            streams=document.streams,
            threads=document.threads,
            meta=Metadata.from_json(
                document.meta | {"format": "recording", "path": str(folder)}
            ),
        )
        check(read_trace)
        return read_trace
    except _UNREADABLE as error:
        raise TraceError(
            f"{folder} is not a whole recording ({type(error).__name__}: {error}): "
            "run `idlescope run` again"
        ) from error


def _read_document(folder: Path) -> RecordingDocument:
    fields = json.loads(read_plain(folder / "meta.json"))
    if fields["schema"] != SCHEMA:
        raise TraceError(
            f"{folder} is a recording of schema {fields['schema']}, "
            f"this idlescope reads {SCHEMA}: upgrade it"
        )
    return msgspec.convert(fields, RecordingDocument)


def _file(folder: Path, table: str) -> Path:
    return folder / f"{FILES.get(table, table)}.parquet"


def _write_table(table: Table, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            (column, pa.from_numpy_dtype(np.dtype(dtype)))
            for column, dtype in table.DTYPES.items()
        ]
    )
    # times and ids grow by little from row to row: their differences take a tenth of the space
    encoding = {
        column: "DELTA_BINARY_PACKED"
        for column, column_dtype in table.DTYPES.items()
        if column_dtype in ("i4", "i8")
    }
    with parquet.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=False, column_encoding=encoding
    ) as writer:
        for first_row in range(0, max(len(table), 1), ROWS_AT_ONCE):
            piece = slice(first_row, first_row + ROWS_AT_ONCE)
            columns = [getattr(table, column) for column in table.DTYPES]
            arrays = [_arrow_array(column[piece]) for column in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), ROWS_AT_ONCE)
            for column in columns:
                let_go(column)


def _arrow_array(column: NDArray[Any]) -> Any:
    """Return a column as Arrow has it, over the same memory.

    `pyarrow.array` would import pandas to ask whether the column is of its types: half a second.
    """
    import pyarrow as pa

    memory = pa.py_buffer(np.ascontiguousarray(column))
    arrow_type = pa.from_numpy_dtype(column.dtype)
    return pa.Array.from_buffers(arrow_type, column.size, [None, memory])


def _read_table(folder: Path, name: str, kind: type[TableT]) -> TableT:
    import pyarrow as pa

    arrow_table = read_columns(_file(folder, name), list(kind.DTYPES))
    columns = {
        column: checked_column(arrow_table.column(column), f"{name}.{column}", column_dtype)
        for column, column_dtype in kind.DTYPES.items()
    }
    # Arrow keeps what it needed to read them: 100 MB of a million steps
    del arrow_table
    pa.default_memory_pool().release_unused()
    return kind(**columns)
