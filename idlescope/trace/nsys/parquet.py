"""The tables of a folder of Parquet files, as `nsys export --type parquetdir` writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.interner import Interner
from idlescope.trace.nsys.tables import Key
from idlescope.trace.parquet_files import plain_values, read_columns, rows_of, texts_of
from idlescope.trace.sqlite.numbers import NULL, whole_numbers
from idlescope.trace.table import Int32, Int64

if TYPE_CHECKING:
    import pyarrow as pa


class ParquetTables:
    """One Parquet file per table: see `Tables`.

    Unsigned ids become the signed ones that SQLite exports hold.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns: dict[str, frozenset[str]] = {}

    def columns(self, table: str) -> frozenset[str]:  # noqa: D102
        if table not in self._columns:
            column_names = (
                self._read(table, None).column_names if self._path(table).is_file() else []
            )
            self._columns[table] = frozenset(column_names)
        return self._columns[table]

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:  # noqa: D102
        present = [column for column in columns if column in self.columns(table)]
        if not present:
            return []
        table_data = self._read(table, present)
        empty_column = [None] * table_data.num_rows
        values = (
            plain_values(table_data.column(column)) if column in present else empty_column
            for column in columns
        )
        return list(zip(*values, strict=True))

    def integers(  # noqa: D102
        self, table: str, columns: Mapping[str, int], damage: Damage
    ) -> dict[str, Int64]:
        if not self.columns(table):
            return {column: np.empty(0, np.int64) for column in columns}
        present = [column for column in columns if column in self.columns(table)]
        table_data = self._read(table, present)
        integer_columns = {
            column: np.full(table_data.num_rows, null_value)
            for column, null_value in columns.items()
        }
        for column in present:
            column_name = f"{table}.{column}"
            integer_columns[column] = _integer_column(
                table_data.column(column), columns[column], column_name, damage
            )
        return integer_columns

    def texts(  # noqa: D102
        self, table: str, column: str, key: Callable[[str], Key]
    ) -> tuple[Int32, tuple[Key, ...]]:
        if not self.columns(table):
            return np.empty(0, np.int32), ()
        if column not in self.columns(table):
            return np.full(self._read(table, []).num_rows, -1, np.int32), ()
        text = texts_of(self._read(table, [column]).column(column))

        # texts that differ may have one key
        known_keys: Interner[Key] = Interner()
        code_of_text = known_keys.codes(map(key, text.texts))
        # the last stands for NULL, whose index is -1
        code_of_text = np.append(code_of_text, np.int32(-1))
        return code_of_text[text.codes], known_keys.values()

    def strings(self, ids: Sequence[int]) -> dict[int, str]:  # noqa: D102
        if not {"id", "value"} <= self.columns("StringIds"):
            return {}
        string_table = self._read("StringIds", ["id", "value"])
        string_ids = _integer_column(
            string_table.column("id"), NULL, "StringIds.id", Damage()
        )
        text = texts_of(string_table.column("value"))
        wanted_ids = [string_id for string_id in ids if NULL < string_id < -NULL]
        is_wanted = np.isin(string_ids, np.array(wanted_ids, np.int64)) & (text.codes >= 0)
        found_ids, found_codes = string_ids[is_wanted], text.codes[is_wanted]
        return {
            string_id: text.texts[code]
            for string_id, code in zip(
                found_ids.tolist(), found_codes.tolist(), strict=True
            )
        }

    def sizes(self) -> dict[str, int]:  # noqa: D102
        parquet_files = sorted(self.folder.glob("*.parquet"))
        return {parquet_file.stem: rows_of(parquet_file) for parquet_file in parquet_files}

    def _path(self, table: str) -> Path:
        return self.folder / f"{table}.parquet"

    def _read(self, table: str, columns: list[str] | None) -> pa.Table:
        """Return columns of a table; with None, no rows of any column, which tells their names."""
        try:
            return read_columns(self._path(table), columns)
        except ValueError as error:
            raise TraceError(
                f"{self._path(table)} is not a whole Parquet file ({error}): copy it again, "
                "or export the report again with `nsys export --type parquetdir REPORT.nsys-rep`"
            ) from error


def _integer_column(column: pa.ChunkedArray, null: int, name: str, damage: Damage) -> Int64:
    import pyarrow as pa

    if not pa.types.is_integer(column.type):
        return whole_numbers(plain_values(column), null, name, 0, damage)
    # ids above 2**63 wrap to what SQLite would hold
    values = column.fill_null(0).to_numpy().astype(np.int64)
    if column.null_count:
        values[column.is_null().to_numpy()] = null
    return values
