"""Open an export of Nsight Systems, whichever files hold it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from idlescope.trace.damage import Damage
from idlescope.trace.nsys.parquet import ParquetTables
from idlescope.trace.nsys.tables import Tables
from idlescope.trace.sqlite.tables import open_sqlite

EXPORT_AGAIN = "export the report again with `nsys export --type sqlite REPORT.nsys-rep`"


def open_tables(path: Path, damage: Damage | None = None) -> AbstractContextManager[Tables]:
    """Open an export for reading: a folder as Parquet files, anything else as an SQLite file.

    Given `damage`, what lies beside damaged pages is read and `damage` told of it.
    """
    return (
        nullcontext(ParquetTables(path))
        if path.is_dir()
        else open_sqlite(path, EXPORT_AGAIN, damage)
    )
