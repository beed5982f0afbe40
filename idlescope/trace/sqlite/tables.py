"""The tables of an SQLite file; nothing is written to it or beside it."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.interner import Interner
from idlescope.trace.sqlite.guard import STORED_NAMES, STORED_TABLE, Guard, row_number
from idlescope.trace.sqlite.numbers import NULL, whole_numbers
from idlescope.trace.sqlite.salvage import Rows, Stretch
from idlescope.trace.table import Int32, Int64

ROWS_AT_ONCE = 20_000  # one chunk of text of a few hundred kB per column
MOST_ROWS = (
    10_000_000  # of a table that is read as a whole, which holds what there are few of
)
LONGEST_NUMBER = (
    40  # characters: what is longer is no integer, and is not fetched as a whole
)
STRINGS_AT_ONCE = 500  # SQLite took at most 999 parameters before 3.32
LOCK_TIMEOUT_S = 0.5  # to wait for another program that is writing

# Byte 18 of an SQLite file's header (sqlite.org/fileformat2.html): 1 is a rollback journal.
JOURNAL_BYTE, WRITE_AHEAD_LOG = 18, 2

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


@contextmanager
def open_sqlite(
    path: Path, make_again: str, damage: Damage | None = None
) -> Iterator[SqliteTables]:
    """Open an SQLite file; `make_again` says how one gets a new one of a damaged file.

    Given `damage`, what lies beside damaged pages is read and `damage` told of it. Raises
    TraceError where the file cannot be read, or is being written.
    """
    database_uri = f"{path.absolute().as_uri()}?{_access(path, make_again)}"
    with _sqlite_errors(path, make_again):
        connection = sqlite3.connect(database_uri, uri=True, timeout=LOCK_TIMEOUT_S)
    with closing(connection):
        with _sqlite_errors(path, make_again):
            guard = Guard(path, connection)
        yield SqliteTables(path, connection, guard, make_again, damage)


def _access(path: Path, make_again: str) -> str:
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
            f"close the program that has it open, or {make_again}"
        )
    return "mode=ro&immutable=1"


@contextmanager
def _sqlite_errors(path: Path, make_again: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OverflowError, ValueError) as error:
        if "locked" in str(error):
            raise TraceError(
                f"{path} is being written by another program: wait until it has ended"
            ) from error
        reason = "its tables have no end" if str(error) == "interrupted" else error
        raise DamagedError(
            f"{path} is not a whole SQLite database ({reason}): copy it again, or {make_again}"
        ) from error


class DamagedError(TraceError):
    """A database has pages that cannot be read."""


class SqliteTables:
    """The tables of an SQLite file: see `nsys.tables.Tables`.

    It needs no index: every table is read once in its own order, only the columns asked for.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        guard: Guard,
        make_again: str,
        damage: Damage | None = None,
    ) -> None:
        self.path = path
        self.make_again = make_again
        self.connection = connection
        self._guard = guard
        # text that is not UTF-8 must not stop a reader; numbers are parsed from bytes
        connection.text_factory = bytes
        self._columns: dict[str, frozenset[str]] = {}
        self._damage = damage
        self._stretches: dict[str, list[Stretch]] = {}  # of tables with damaged pages
        self._read_whole: set[str] = set()

    def columns(self, table: str) -> frozenset[str]:  # noqa: D102
        if table not in self._columns:
            # a view under the name of a table would run what it says; generated columns are not
            # among those of pragma_table_info
            is_stored = any(count for (count,) in self._fetch(STORED_TABLE, (table,)))
            columns_found = (
                self._fetch("SELECT name FROM pragma_table_info(?)", (table,))
                if is_stored
                else []
            )
            self._columns[table] = frozenset(
                _text(column_name) or "" for (column_name,) in columns_found
            )
        return self._columns[table]

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:  # noqa: D102
        present = [column for column in columns if column in self.columns(table)]
        if not present:
            return []
        quoted = [f'"{column}"' if column in present else "NULL" for column in columns]
        rows_found = self._readable(
            table, lambda: list(self._rows(table, ", ".join(quoted)))
        )
        return [tuple(map(_python_value, row)) for row in rows_found]

    def integers(  # noqa: D102
        self, table: str, columns: Mapping[str, int], damage: Damage
    ) -> dict[str, Int64]:
        return self._readable(table, lambda: self._integers(table, columns, damage))

    def _integers(
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
        selected = ", ".join(["count(*)", *joined_columns])

        column_parts: dict[str, list[Int64]] = {
            column: [np.empty(0, np.int64)] for column in present
        }
        row_total = 0
        for bounds in self._chunks(table):
            chunk_query = _query(selected, table, self._chunk(table))
            ((chunk_rows, *joined_texts),) = self._fetch(chunk_query, bounds)
            for (column, null_value), joined_text in zip(
                present.items(), joined_texts, strict=True
            ):
                values = _parsed(joined_text, chunk_rows)
                if values is None:
                    raw_values = list(self._column(table, _short(column), bounds))
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
        return self._readable(table, lambda: self._texts(table, column, key))

    def _texts(
        self, table: str, column: str, key: Callable[[str], Key]
    ) -> tuple[Int32, tuple[Key, ...]]:
        known_keys: Interner[Key] = Interner()
        code_parts = [np.empty(0, np.int32)]
        for bounds in self._chunks(table):
            selected = f'"{column}"' if column in self.columns(table) else "NULL"
            chunk_texts = map(_text, self._column(table, selected, bounds))
            text_codes = [
                -1 if chunk_text is None else known_keys.code(key(chunk_text))
                for chunk_text in chunk_texts
            ]
            code_parts.append(np.array(text_codes, np.int32))
        return np.concatenate(code_parts), known_keys.values()

    def strings(  # noqa: D102
        self, ids: Sequence[int], table: str = "StringIds", column: str = "value"
    ) -> dict[int, str]:
        if not {"id", column} <= self.columns(table):
            return {}
        wanted = set(map(int, ids))
        return self._readable(table, lambda: self._strings(wanted, table, column))

    def _strings(self, wanted: set[int], table: str, column: str) -> dict[int, str]:
        strings_found: dict[int, str] = {}
        # by its key where few are wanted; of many, all are looked through once
        some_of_them = ""
        if len(wanted) <= STRINGS_AT_ONCE:
            some_of_them = f"WHERE id IN ({', '.join('?' * len(wanted))})"
        parameters = tuple(wanted) if some_of_them else ()
        for string_id, string_value in self._rows(
            table, f'id, "{column}"', some_of_them, parameters
        ):
            if string_id in wanted:
                strings_found[string_id] = _text(string_value) or ""
        return strings_found

    def names(self) -> list[str]:
        """Return the names of all stored tables, in order; views are none."""
        names_found = self._fetch(STORED_NAMES)
        return [_text(name) or "" for (name,) in names_found]

    def sizes(self) -> dict[str, int]:  # noqa: D102
        return {table_name: self._size(table_name) for table_name in self.names()}

    def _size(self, table: str) -> int:
        quoted = table.replace('"', '""')
        try:
            ((rows,),) = self._fetch(_query("count(*)", quoted))
            return int(rows)
        except TraceError:
            return 1

    def _readable(self, table: str, read: Callable[[], Result]) -> Result:
        """Return what is read of a table; where pages of it are damaged, of its other rows.

        Raises DamagedError where nothing of it can be read, or where more of it was read before:
        columns that were read at different times must have the same rows.
        """
        try:
            result = read()
            self._read_whole.add(table)
            return result
        except DamagedError:
            if self._damage is None or table in self._read_whole | self._stretches.keys():
                raise
        self._stretches[table] = self._salvaged(table)
        place = f"{table} row {self._stretches[table][0].first}"
        self._damage.cut(
            f"{table} was read around damaged pages, rows of it are missing", place
        )
        return read()

    def _salvaged(self, table: str) -> list[Stretch]:
        """Return the stretches of a damaged table that can be read."""
        columns = sorted(self.columns(table))
        rows = Rows(self.connection, self._guard, table, self._row_number(table), columns)
        with _sqlite_errors(self.path, self.make_again):
            stretches = rows.stretches(ROWS_AT_ONCE)
            if not stretches:
                raise sqlite3.DatabaseError(f"nothing of {table} can be read")
        return stretches

    def _rows(
        self, table: str, selected: str, where: str = "", parameters: Sequence[Any] = ()
    ) -> Iterator[Any]:
        """Yield what is selected of the rows of a table, MOST_ROWS at the most."""
        if table not in self._stretches:
            yield from self._each(
                _query(selected, table, f"{where} LIMIT {MOST_ROWS}"), parameters
            )
            return
        for bounds in self._stretches[table]:
            yield from self._each(_query(selected, table, self._chunk(table)), bounds)

    def _chunks(self, table: str) -> Iterator[tuple[int, int]]:
        """Yield after which rowid stretches of a table begin, and the last rowid of each."""
        if not self.columns(table):
            return
        if table in self._stretches:
            yield from self._stretches[table]
            return
        number = self._row_number(table)
        chunk_clause = f"WHERE {number} >= ? ORDER BY {number} LIMIT {ROWS_AT_ONCE}"
        chunk_rows = _query(f"{number} AS number", table, chunk_clause)
        last_of_chunk = f"SELECT max(number) FROM ({chunk_rows})"  # noqa: S608 - names of our own
        first = NULL
        while True:
            ((last,),) = self._fetch(last_of_chunk, (first,))
            if last is None:
                return
            if last < first:
                raise DamagedError(
                    f"{self.path} is not a whole SQLite database (the rows of {table} are out "
                    f"of order): copy it again, or {self.make_again}"
                )
            yield first, last
            if last == -NULL - 1:
                return
            first = last + 1

    def _chunk(self, table: str) -> str:
        """Return the clause of a stretch of rows, in the table's order whatever index it has."""
        number = self._row_number(table)
        return f"NOT INDEXED WHERE {number} >= ? AND {number} <= ?"

    def _row_number(self, table: str) -> str:
        number = row_number(self.columns(table))
        if number is None:
            raise TraceError(
                f"{self.path} has columns in {table} that hide the numbers of its rows: "
                f"{self.make_again}"
            )
        return number

    def _column(self, table: str, selected: str, bounds: tuple[int, int]) -> Iterator[Any]:
        """Yield the values of what is selected in a stretch of rows."""
        column_query = _query(selected, table, self._chunk(table))
        for (value,) in self._each(column_query, bounds):
            yield value

    def _fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return list(self._each(query, parameters))

    def _each(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows of a query."""
        with _sqlite_errors(self.path, self.make_again), self._guard.query():
            yield from self.connection.execute(query, parameters)


def _short(column: str) -> str:
    """Return the SQL of a column whose texts are cut: a number has no use for a long one."""
    return (
        f"CASE WHEN typeof(\"{column}\") IN ('text', 'blob') "
        f'THEN substr("{column}", 1, {LONGEST_NUMBER}) ELSE "{column}" END'
    )


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
