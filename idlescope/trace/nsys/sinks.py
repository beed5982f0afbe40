"""Where the tables of a scrubbed export go: an SQLite file or a folder of Parquet files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.sqlite.tables import ROWS_AT_ONCE
from idlescope.trace.table import Int64

Rows = Sequence[tuple[Any, ...]]
Texts = Mapping[str, list[str | None]]  # column -> text of each row


class Sink(Protocol):
    """Where the copied tables go."""

    def numbers(self, table: str, columns: Mapping[str, Int64], texts: Texts) -> None:
        """Write a table of integers, NULL standing for none, and columns of text beside them."""

    def rows(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:
        """Write a small table."""


class SqliteSink:
    """A new SQLite database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def numbers(self, table: str, columns: Mapping[str, Int64], texts: Texts) -> None:  # noqa: D102
        column_types = dict.fromkeys(columns, int) | dict.fromkeys(texts, str)
        self._fill(
            table, column_types, _rows_of(list(columns.values()), list(texts.values()))
        )

    def rows(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:  # noqa: D102
        self._fill(table, columns, rows)

    def _fill(
        self, table: str, columns: Mapping[str, type], rows: Iterable[tuple[Any, ...]]
    ) -> None:
        declarations = []
        for column, column_type in columns.items():
            declarations.append(f'"{column}" {"TEXT" if column_type is str else "INTEGER"}')
        self._database.execute(f'CREATE TABLE "{table}" ({", ".join(declarations)})')
        placeholders = ", ".join("?" * len(columns))
        insert = f'INSERT INTO "{table}" VALUES ({placeholders})'  # noqa: S608 - names of our own
        self._database.executemany(insert, rows)


def _rows_of(
    columns: Sequence[Int64], texts: Sequence[list[str | None]]
) -> Iterator[tuple[Any, ...]]:
    """Yield rows, made a stretch at a time.

    A Python integer takes four times the space of one in a column.
    """
    for first_row in range(0, len(columns[0]), ROWS_AT_ONCE):
        stretch = slice(first_row, first_row + ROWS_AT_ONCE)
        values: list[list[Any]] = [_values(column[stretch]) for column in columns]
        values += [text_column[stretch] for text_column in texts]
        yield from zip(*values, strict=True)


def _values(column: Int64) -> list[int | None]:
    return [None if cell_value == NULL else cell_value for cell_value in column.tolist()]


class ParquetSink:
    """A folder of Parquet files, one per table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def numbers(self, table: str, columns: Mapping[str, Int64], texts: Texts) -> None:  # noqa: D102
        import pyarrow as pa

        arrays: dict[str, Any] = {}
        for column, values in columns.items():
            arrays[column] = pa.array(values, pa.int64(), mask=values == NULL)
        for column, text_column in texts.items():
            arrays[column] = pa.array(text_column, pa.string())
        self._write(table, arrays)

    def rows(self, table: str, columns: Mapping[str, type], rows: Rows) -> None:  # noqa: D102
        import pyarrow as pa

        arrays: dict[str, Any] = {}
        for (column, column_type), values in zip(
            columns.items(), zip(*rows, strict=True), strict=True
        ):
            arrays[column] = pa.array(
                values, pa.string() if column_type is str else pa.int64()
            )
        self._write(table, arrays)

    def _write(self, table: str, arrays: dict[str, Any]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        parquet_path = self._folder / f"{table}.parquet"
        parquet.write_table(pa.table(arrays), parquet_path, compression="zstd")
