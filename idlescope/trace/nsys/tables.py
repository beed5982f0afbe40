"""The tables of a Nsight Systems export as numpy columns, from an SQLite file or a directory of Parquet files.

Exports of different years differ in tables and columns, so callers ask what is there and never for a version. A table
that is not there is an empty one, a column that is not there holds NULL in every row.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.interner import Interner
from idlescope.trace.table import Int32, Int64

if TYPE_CHECKING:
    import pyarrow as pa

Key = TypeVar("Key", bound=Hashable)

NULL = int(np.iinfo(np.int64).min)  # stands for NULL in a column that may hold any other integer
ROWS_AT_ONCE = 20_000  # of an SQLite table: one chunk of text of a few hundred kB a column
CHUNK = "NOT INDEXED WHERE rowid > ? AND rowid <= ?"  # in the table's order even where a tool has added an index
STRINGS_AT_ONCE = 500  # SQLite took at most 999 parameters before 3.32
LOCK_TIMEOUT = 0.5  # s to wait for another program that is writing
WAL_MODE = (
    2  # byte 18 of an SQLite file's header (sqlite.org/fileformat2.html): 1 is a rollback journal
)
EXPORT_AGAIN = "export the report again with `nsys export --type sqlite REPORT.nsys-rep`"


class Tables(Protocol):
    """What a reader asks of an export. Every method raises TraceError where the export cannot be read."""

    def columns(self, table: str) -> frozenset[str]:
        """Return the names of a table's columns, none where it is not there."""

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the rows of a small table as Python values."""

    def integers(self, table: str, columns: Mapping[str, int], damage: Damage) -> dict[str, Int64]:
        """Return columns of a table, each with the value that stands for its NULLs.

        Rows keep their order from call to call. What is not an integer counts as NULL and is told to `damage`.
        """

    def texts(
        self, table: str, column: str, key: Callable[[str], Key]
    ) -> tuple[Int32, tuple[Key, ...]]:
        """Return a text column as indices, -1 for NULL, into the distinct keys of its texts."""

    def strings(self, ids: Sequence[int]) -> dict[int, str]:
        """Return the texts that StringIds has for these ids."""


def open_tables(path: Path) -> AbstractContextManager[Tables]:
    """Open an export for reading: a folder as Parquet files, anything else as an SQLite file."""
    return _open_parquet(path) if path.is_dir() else _open_sqlite(path)


@contextmanager
def _open_parquet(folder: Path) -> Iterator[Tables]:
    yield ParquetTables(folder)


@contextmanager
def _open_sqlite(path: Path) -> Iterator[Tables]:
    with _sqlite_errors(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{_access(path)}", uri=True, timeout=LOCK_TIMEOUT
        )
    with closing(connection):
        yield SqliteTables(path, connection)


def _access(path: Path) -> str:
    """Return the URI parameters that keep SQLite from making or changing any file.

    In WAL mode SQLite makes `-wal` and `-shm` files beside a database even to read it, unless told that nobody else
    has it open (sqlite.org/wal.html, "Read-Only Databases").
    """
    try:
        with path.open("rb") as file:
            header = file.read(20)
        journal = Path(f"{path}-wal")
        unmerged = journal.exists() and journal.stat().st_size > 0
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(header) < 20 or header[18] != WAL_MODE:
        return "mode=ro"
    if unmerged:
        raise TraceError(
            f"{path} has changes in {journal.name} that are not part of it yet: close the program that has it open, or "
            f"{EXPORT_AGAIN}"
        )
    return "mode=ro&immutable=1"


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise TraceError(
                f"{path} is being written by another program: wait until the export has ended"
            ) from error
        raise TraceError(
            f"{path} is not a whole SQLite database ({error}): copy it again, or {EXPORT_AGAIN}"
        ) from error


def _query(what: str, table: str, rest: str = "") -> str:
    return f'SELECT {what} FROM "{table}" {rest}'  # noqa: S608  # names of tables and columns are this package's own


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{c}"' for c in columns)


class SqliteTables:
    """An SQLite export. Needs no index: every table is read once in its own order, only the columns asked for."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        connection.text_factory = (
            bytes  # text that is not UTF-8 must not stop a reader; numbers are parsed from bytes
        )
        self._columns: dict[str, frozenset[str]] = {}

    def columns(self, table: str) -> frozenset[str]:  # noqa: D102
        if table not in self._columns:
            with _sqlite_errors(self.path):
                info = self.connection.execute(
                    "SELECT name FROM pragma_table_info(?)", (table,)
                ).fetchall()
            self._columns[table] = frozenset(_text(name) or "" for (name,) in info)
        return self._columns[table]

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:  # noqa: D102
        there = [c for c in columns if c in self.columns(table)]
        if not there:
            return []
        with _sqlite_errors(self.path):
            found = self.connection.execute(_query(_quoted(there), table)).fetchall()
        at = {c: i for i, c in enumerate(there)}
        texts = [tuple(_text(v) if isinstance(v, bytes) else v for v in row) for row in found]
        return [tuple(row[at[c]] if c in at else None for c in columns) for row in texts]

    def integers(self, table: str, columns: Mapping[str, int], damage: Damage) -> dict[str, Int64]:  # noqa: D102
        there = [c for c in columns if c in self.columns(table)]
        # Text of a whole chunk, made inside SQLite and parsed inside numpy, takes two thirds of the time of a row at a
        # time, and what is not an integer does not parse, whereas np.fromiter would cut 1.5 to 1.
        listed = ", ".join(
            ["count(*)", *(f'group_concat(ifnull("{c}", {columns[c]}))' for c in there)]
        )
        chunk = _query(listed, table, CHUNK)
        parts: dict[str, list[Int64]] = {c: [np.empty(0, np.int64)] for c in there}
        size = 0
        with _sqlite_errors(self.path):
            for bounds in self._chunks(table):
                count, *lists = self.connection.execute(chunk, bounds).fetchone()
                for column, text in zip(there, lists, strict=True):
                    values = _parsed(text, count)
                    if values is None:
                        values = self._checked(table, column, columns[column], bounds, size, damage)
                    parts[column].append(values)
                size += count
        return {
            c: np.concatenate(parts[c]) if c in parts else np.full(size, null)
            for c, null in columns.items()
        }

    def _chunks(self, table: str) -> Iterator[tuple[int, int]]:
        if not self.columns(table):
            return
        limit = f"LIMIT {ROWS_AT_ONCE}"
        last = f"SELECT max(rowid) FROM ({_query('rowid', table, f'WHERE rowid > ? ORDER BY rowid {limit}')})"  # noqa: S608
        low = NULL
        while (high := self.connection.execute(last, (low,)).fetchone()[0]) is not None:
            yield low, high
            low = high

    def _checked(
        self,
        table: str,
        column: str,
        null: int,
        bounds: tuple[int, int],
        before: int,
        damage: Damage,
    ) -> Int64:
        query = _query(f'"{column}"', table, CHUNK)
        values = [value for (value,) in self.connection.execute(query, bounds)]
        return _whole_numbers(values, null, f"{table}.{column}", before, damage)

    def texts(
        self, table: str, column: str, key: Callable[[str], Key]
    ) -> tuple[Int32, tuple[Key, ...]]:  # noqa: D102
        known: Interner[Key] = Interner()
        parts = [np.empty(0, np.int32)]
        what = f'"{column}"' if column in self.columns(table) else "NULL"
        with _sqlite_errors(self.path):
            for bounds in self._chunks(table):
                query = _query(what, table, CHUNK)
                texts = [_text(value) for (value,) in self.connection.execute(query, bounds)]
                codes = [-1 if text is None else known.code(key(text)) for text in texts]
                parts.append(np.array(codes, np.int32))
        return np.concatenate(parts), known.values()

    def strings(self, ids: Sequence[int]) -> dict[int, str]:  # noqa: D102
        found: dict[int, str] = {}
        if not {"id", "value"} <= self.columns("StringIds"):
            return found
        with _sqlite_errors(self.path):
            for first in range(0, len(ids), STRINGS_AT_ONCE):
                some = [int(i) for i in ids[first : first + STRINGS_AT_ONCE]]
                query = _query(
                    "id, value", "StringIds", f"WHERE id IN ({', '.join('?' * len(some))})"
                )
                found.update(
                    (i, _text(value) or "") for i, value in self.connection.execute(query, some)
                )
        return found


class ParquetTables:
    """A directory of one Parquet file a table. Unsigned ids become the signed ones that SQLite exports hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns: dict[str, frozenset[str]] = {}

    def columns(self, table: str) -> frozenset[str]:  # noqa: D102
        if table not in self._columns:
            names = self._read(table, None).column_names if self._path(table).is_file() else []
            self._columns[table] = frozenset(names)
        return self._columns[table]

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:  # noqa: D102
        there = [c for c in columns if c in self.columns(table)]
        if not there:
            return []
        data = self._read(table, there)
        empty = [None] * data.num_rows
        return list(
            zip(
                *(data.column(c).to_pylist() if c in there else empty for c in columns), strict=True
            )
        )

    def integers(self, table: str, columns: Mapping[str, int], damage: Damage) -> dict[str, Int64]:  # noqa: D102
        there = [c for c in columns if c in self.columns(table)]
        if not self.columns(table):
            return {c: np.empty(0, np.int64) for c in columns}
        data = self._read(table, there)
        return {
            c: _integer_column(data.column(c), null, f"{table}.{c}", damage) if c in there
            else np.full(data.num_rows, null)
            for c, null in columns.items()
        }  # fmt: skip

    def texts(
        self, table: str, column: str, key: Callable[[str], Key]
    ) -> tuple[Int32, tuple[Key, ...]]:  # noqa: D102
        import pyarrow as pa

        if column not in self.columns(table):
            size = self._read(table, []).num_rows if self.columns(table) else 0
            return np.full(size, -1, np.int32), ()
        texts = (
            self._read(table, [column])
            .column(column)
            .cast(pa.string())
            .combine_chunks()
            .dictionary_encode()
        )
        known: Interner[Key] = Interner()
        codes = np.append(
            known.codes(key(text) for text in texts.dictionary.to_pylist()), np.int32(-1)
        )
        return codes[texts.indices.fill_null(-1).to_numpy()], known.values()

    def strings(self, ids: Sequence[int]) -> dict[int, str]:  # noqa: D102
        import pyarrow as pa
        from pyarrow import compute

        if not {"id", "value"} <= self.columns("StringIds"):
            return {}
        data = self._read("StringIds", ["id", "value"])
        data = data.filter(
            compute.is_in(data.column("id").cast(pa.int64()), pa.array(ids, pa.int64()))
        )
        return dict(
            zip(data.column("id").to_pylist(), data.column("value").to_pylist(), strict=True)
        )

    def _path(self, table: str) -> Path:
        return self.folder / f"{table}.parquet"

    def _read(self, table: str, columns: list[str] | None) -> pa.Table:
        """Return columns of a table; with None, no rows of any column, which tells their names."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self._path(table)) as file:
                return file.schema_arrow.empty_table() if columns is None else file.read(columns)
        except (OSError, pa.ArrowException) as error:
            raise TraceError(
                f"{self._path(table)} is not a whole Parquet file ({str(error).splitlines()[0][:120]}): copy it again, "
                "or export the report again with `nsys export --type parquetdir REPORT.nsys-rep`"
            ) from error


def _integer_column(column: pa.ChunkedArray, null: int, name: str, damage: Damage) -> Int64:
    import pyarrow as pa

    if not pa.types.is_integer(column.type):
        return _whole_numbers(column.to_pylist(), null, name, 0, damage)
    values = (
        column.fill_null(0).to_numpy().astype(np.int64)
    )  # ids above 2**63 wrap to what SQLite would hold
    if column.null_count:
        values[column.is_null().to_numpy()] = null
    return values


def _parsed(text: bytes | None, count: int) -> Int64 | None:
    """Return the integers of a comma-separated text, None where it is not `count` integers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", DeprecationWarning
            )  # older numpy warns of what newer refuses
            values = np.fromstring(text or b"", dtype=np.int64, sep=",")
    except (ValueError, DeprecationWarning):
        return None
    return values if len(values) == count else None


def _whole_numbers(
    values: Sequence[Any], null: int, name: str, before: int, damage: Damage
) -> Int64:
    """Return values of any type as integers; `before` is the number of rows of the table that come before them."""
    whole = np.full(len(values), null, np.int64)
    for row, value in enumerate(values):
        if value is None:
            continue
        number = _whole_number(value)
        if number is None:
            damage.repaired(
                f"{name} is not an integer and was taken as missing", f"row {before + row + 1}"
            )
        else:
            whole[row] = number
    return whole


def _whole_number(value: Any) -> int | None:
    try:
        number = int(value)
        return (
            number
            if NULL <= number < -NULL and (not isinstance(value, float) or number == value)
            else None
        )
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    """Return a value of an SQLite text column, in which any type may be stored."""
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
