"""The tables of an SQLite export; nothing is written to its file or beside it."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.interner import Interner
from idlescope.trace.nsys.tables import NULL, Key, whole_numbers
from idlescope.trace.table import Int32, Int64

ROWS_AT_ONCE = 20_000  # one chunk of text of a few hundred kB per column
# of a table's rows, in its own order even where a tool has added an index
CHUNK = "NOT INDEXED WHERE rowid > ? AND rowid <= ?"
STRINGS_AT_ONCE = 500  # SQLite took at most 999 parameters before 3.32
LOCK_TIMEOUT_S = 0.5  # to wait for another program that is writing

# Byte 18 of an SQLite file's header (sqlite.org/fileformat2.html): 1 is a rollback journal.
JOURNAL_BYTE, WRITE_AHEAD_LOG = 18, 2

EXPORT_AGAIN = "export the report again with `nsys export --type sqlite REPORT.nsys-rep`"


@contextmanager
def open_sqlite(path: Path) -> Iterator[SqliteTables]:
    """Open an SQLite export. Raises TraceError where it cannot be read, or is being written."""
    database_uri = f"{path.absolute().as_uri()}?{_access(path)}"
    with _sqlite_errors(path):
        connection = sqlite3.connect(database_uri, uri=True, timeout=LOCK_TIMEOUT_S)
    with closing(connection):
        yield SqliteTables(path, connection)


def _access(path: Path) -> str:
    """Return the URI parameters that keep SQLite from making or changing any file.

    With a write-ahead log, SQLite makes `-wal` and `-shm` files beside a database even to read it,
    unless told that nobody else has it open (sqlite.org/wal.html, "Read-Only Databases").
    """
    try:
        with path.open("rb") as database_file:
            header = database_file.read(JOURNAL_BYTE + 1)
        write_ahead_log = Path(f"{path}-wal")
        has_unmerged_changes = (
            write_ahead_log.exists() and write_ahead_log.stat().st_size > 0
        )
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(header) <= JOURNAL_BYTE or header[JOURNAL_BYTE] != WRITE_AHEAD_LOG:
        return "mode=ro"
    if has_unmerged_changes:
        raise TraceError(
            f"{path} has changes in {write_ahead_log.name} that are not part of it yet: "
            f"close the program that has it open, or {EXPORT_AGAIN}"
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


class SqliteTables:
    """An SQLite export: see `Tables`.

    It needs no index: every table is read once in its own order, only the columns asked for.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        # text that is not UTF-8 must not stop a reader; numbers are parsed from bytes
        connection.text_factory = bytes
        self._columns: dict[str, frozenset[str]] = {}

    def columns(self, table: str) -> frozenset[str]:  # noqa: D102
        if table not in self._columns:
            columns_found = self._fetch("SELECT name FROM pragma_table_info(?)", (table,))
            self._columns[table] = frozenset(
                _text(column_name) or "" for (column_name,) in columns_found
            )
        return self._columns[table]

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:  # noqa: D102
        present = [column for column in columns if column in self.columns(table)]
        if not present:
            return []
        quoted = [f'"{column}"' if column in present else "NULL" for column in columns]
        rows_found = self._fetch(_query(", ".join(quoted), table))
        return [tuple(map(_python_value, row)) for row in rows_found]

    def integers(  # noqa: D102
        self, table: str, columns: Mapping[str, int], damage: Damage
    ) -> dict[str, Int64]:
        present = {
            column: null_value
            for column, null_value in columns.items()
            if column in self.columns(table)
        }
        # Text of a whole chunk, made inside SQLite and parsed inside numpy, takes two thirds of the
        # time of a row at a time, and what is not an integer does not parse, whereas np.fromiter
        # would cut 1.5 to 1.
        joined_columns = [
            f'group_concat(ifnull("{column}", {null_value}))'
            for column, null_value in present.items()
        ]
        chunk_query = _query(", ".join(["count(*)", *joined_columns]), table, CHUNK)

        column_parts: dict[str, list[Int64]] = {
            column: [np.empty(0, np.int64)] for column in present
        }
        row_total = 0
        for bounds in self._chunks(table):
            ((chunk_rows, *joined_texts),) = self._fetch(chunk_query, bounds)
            for (column, null_value), joined_text in zip(
                present.items(), joined_texts, strict=True
            ):
                values = _parsed(joined_text, chunk_rows)
                if values is None:
                    raw_values = self._column(table, column, bounds)
                    values = whole_numbers(
                        raw_values, null_value, f"{table}.{column}", row_total, damage
                    )
                column_parts[column].append(values)
            row_total += chunk_rows
        return {
            column: np.concatenate(column_parts[column])
            if column in column_parts
            else np.full(row_total, null_value)
            for column, null_value in columns.items()
        }

    def texts(  # noqa: D102
        self, table: str, column: str, key: Callable[[str], Key]
    ) -> tuple[Int32, tuple[Key, ...]]:
        known_keys: Interner[Key] = Interner()
        code_parts = [np.empty(0, np.int32)]
        for bounds in self._chunks(table):
            chunk_texts = map(_text, self._column(table, column, bounds))
            text_codes = [
                -1 if chunk_text is None else known_keys.code(key(chunk_text))
                for chunk_text in chunk_texts
            ]
            code_parts.append(np.array(text_codes, np.int32))
        return np.concatenate(code_parts), known_keys.values()

    def strings(self, ids: Sequence[int]) -> dict[int, str]:  # noqa: D102
        strings_found: dict[int, str] = {}
        if not {"id", "value"} <= self.columns("StringIds"):
            return strings_found
        wanted = [int(string_id) for string_id in ids]
        for first_id in range(0, len(wanted), STRINGS_AT_ONCE):
            stretch = wanted[first_id : first_id + STRINGS_AT_ONCE]
            placeholders = ", ".join("?" * len(stretch))
            strings_query = _query(
                "id, value", "StringIds", f"WHERE id IN ({placeholders})"
            )
            for string_id, string_value in self._fetch(strings_query, stretch):
                strings_found[string_id] = _text(string_value) or ""
        return strings_found

    def sizes(self) -> dict[str, int]:  # noqa: D102
        table_names = self._fetch(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        )
        return {
            table_name: self._size(table_name)
            for table_name in (_text(name) or "" for (name,) in table_names)
        }

    def _size(self, table: str) -> int:
        quoted = table.replace('"', '""')
        try:
            return int(self.connection.execute(_query("count(*)", quoted)).fetchone()[0])
        except sqlite3.Error:
            return 1

    def _chunks(self, table: str) -> Iterator[tuple[int, int]]:
        """Yield after which rowid stretches of a table begin, and the last rowid of each."""
        if not self.columns(table):
            return
        chunk_clause = f"WHERE rowid > ? ORDER BY rowid LIMIT {ROWS_AT_ONCE}"
        last_of_chunk = f"SELECT max(rowid) FROM ({_query('rowid', table, chunk_clause)})"  # noqa: S608
        last_before = NULL
        while (
            last_in_chunk := self._fetch(last_of_chunk, (last_before,))[0][0]
        ) is not None:
            yield last_before, last_in_chunk
            last_before = last_in_chunk

    def _column(self, table: str, column: str, bounds: tuple[int, int]) -> list[Any]:
        """Return the values of a column in a stretch of rows; None for one that is not there."""
        selected = f'"{column}"' if column in self.columns(table) else "NULL"
        return [value for (value,) in self._fetch(_query(selected, table, CHUNK), bounds)]

    def _fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with _sqlite_errors(self.path):
            return self.connection.execute(query, parameters).fetchall()


def _query(what: str, table: str, rest: str = "") -> str:
    # names of tables and columns are this package's own
    return f'SELECT {what} FROM "{table}" {rest}'  # noqa: S608


def _parsed(text: bytes | None, count: int) -> Int64 | None:
    """Return the integers of a comma-separated text, None where it is not `count` integers."""
    try:
        with warnings.catch_warnings():
            # older numpy warns of what newer refuses
            warnings.simplefilter("error", DeprecationWarning)
            values = np.fromstring(text or b"", dtype=np.int64, sep=",")
    except (ValueError, DeprecationWarning):
        return None
    return values if len(values) == count else None


def _python_value(value: Any) -> Any:
    return _text(value) if isinstance(value, bytes) else value


def _text(value: Any) -> str | None:
    """Return a value of an SQLite text column, in which any type may be stored."""
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
