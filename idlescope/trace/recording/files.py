"""Keep a Trace on disk: a folder of one Parquet file a table, and `meta.json` for the rest."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from idlescope.errors import TraceError
from idlescope.trace.model import Calls, Device, Operations, Ranges, Samples, Thread, Trace
from idlescope.trace.table import Table

SCHEMA = 1
TABLES: dict[str, type[Table]] = {
    "operations": Operations,
    "calls": Calls,
    "ranges": Ranges,
    "samples": Samples,
}
T = TypeVar("T", bound=Table)


def write(trace: Trace, folder: Path) -> None:
    """Write a Trace as a recording; the folder is created, files of an earlier recording in it are replaced."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in TABLES.items():
        table = getattr(trace, name)
        columns = pa.table({column: getattr(table, column) for column in kind.DTYPES})
        # times and ids grow by little from row to row: their differences take a tenth of the space
        encoding = {
            c: "DELTA_BINARY_PACKED" for c, dtype in kind.DTYPES.items() if dtype in ("i4", "i8")
        }
        parquet.write_table(
            columns,
            folder / f"{name}.parquet",
            compression="zstd",
            use_dictionary=False,
            column_encoding=encoding,
        )
    meta = {
        "schema": SCHEMA,
        "names": trace.names,
        "devices": [asdict(d) for d in trace.devices],
        "streams": trace.streams,
        "threads": [asdict(t) for t in trace.threads],
        "meta": trace.meta,
    }
    text = json.dumps(meta, indent=1, ensure_ascii=False) + "\n"
    (folder / "meta.json").write_bytes(text.encode("utf-8", "replace"))


def read(folder: Path) -> Trace:
    """Return the Trace of a recording. Raises TraceError where a file is missing or not what `write` wrote."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta["schema"] != SCHEMA:
            raise TraceError(
                f"{folder} is a recording of schema {meta['schema']}, this idlescope reads {SCHEMA}: upgrade it"
            )
        return Trace(
            operations=_read(folder / "operations.parquet", Operations),
            calls=_read(folder / "calls.parquet", Calls),
            ranges=_read(folder / "ranges.parquet", Ranges),
            samples=_read(folder / "samples.parquet", Samples),
            names=tuple(meta["names"]),
            devices=tuple(Device(**d) for d in meta["devices"]),
            streams=tuple(meta["streams"]),
            threads=tuple(Thread(**t) for t in meta["threads"]),
            meta={**meta["meta"], "format": "recording", "path": str(folder)},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TraceError(
            f"{folder} is not a whole recording ({type(error).__name__}: {error}): run `idlescope run` again"
        ) from error


def _read(path: Path, kind: type[T]) -> T:
    from pyarrow import parquet

    table = parquet.read_table(path, columns=list(kind.DTYPES))
    return kind(**{name: table.column(name).to_numpy() for name in kind.DTYPES})
