"""The tables of a rocpd database (rocprofv3, SQLite), whichever version of the schema it has.

The schemas are share/rocprofiler-sdk-rocpd/rocpd_tables.sql of rocprofiler-sdk. Every table's name
ends in the UUID of the process that wrote it, and a merged database has the tables of several. In
versions 3.0.x a record has its own times, process, thread, agent, queue and stream; in 4.1.0 it
refers to `rocpd_timestamp` and `rocpd_track` for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np

from idlescope.trace.damage import Damage
from idlescope.trace.distinct import rows_of
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.sqlite.strings import TextColumn, texts_of_ids
from idlescope.trace.sqlite.tables import SqliteTables
from idlescope.trace.table import Int64

KERNELS, COPIES, REGIONS = "rocpd_kernel_dispatch", "rocpd_memory_copy", "rocpd_region"
RECORDS = (KERNELS, COPIES, REGIONS)
SUFFIXED = re.compile(rf"^(?:{'|'.join(RECORDS)})([0-9A-Za-z_-]*)$")

IN_TRACK = ("pid", "tid", "nid", "agent_id", "queue_id", "stream_id")
IN_TIMESTAMPS = {"start": "start_id", "end": "end_id"}
LARGEST_MESSAGE = 1 << 16  # characters of a marker's text


def suffixes(tables: SqliteTables) -> list[str]:
    """Return what follows the names of tables, for each process that wrote some."""
    found = (SUFFIXED.match(name) for name in tables.names())
    return list(dict.fromkeys(match[1] for match in found if match is not None))


class Database:
    """The tables of one process of a rocpd file."""

    def __init__(self, tables: SqliteTables, suffix: str, damage: Damage) -> None:
        self._tables = tables
        self._suffix = suffix
        self._damage = damage
        self._timestamps: dict[str, Int64] | None = None
        self._tracks: dict[str, Int64] | None = None

    def named(self, table: str) -> str:
        """Return the name of a table in the file."""
        return f"{table}{self._suffix}"

    def integers(self, table: str, columns: Mapping[str, int]) -> dict[str, Int64]:
        """Return columns of a table, each with the value that stands for its NULLs."""
        return self._tables.integers(self.named(table), columns, self._damage)

    def records(self, table: str, columns: Mapping[str, int]) -> dict[str, Int64]:
        """Return columns of a table of records, and its `start` and `end`, ns."""
        known = self._tables.columns(self.named(table))
        elsewhere = {
            column
            for column in columns
            if column in IN_TRACK and column not in known and "track_id" in known
        }
        references = {
            reference: NULL
            for reference in ("track_id", *IN_TIMESTAMPS.values())
            if reference in known
        }
        wanted = {"start": NULL, "end": NULL, **columns, **references}
        rows = self.integers(table, wanted)
        for column in elsewhere:
            values = np.append(self._track_columns()[column], columns[column])
            track_rows = rows_of(self._track_columns()["id"], rows["track_id"])
            rows[column] = values[track_rows]
        for column, reference in IN_TIMESTAMPS.items():
            if column not in known and reference in known:
                rows[column] = self._times(rows[reference])
        return rows

    def texts(self, table: str, ids: Int64, column: str = "string") -> TextColumn:
        """Return the texts of a column of a table for the ids of rows."""
        return texts_of_ids(self._tables, ids, self.named(table), column)

    def strings(self, ids: Int64) -> TextColumn:
        """Return the texts that `rocpd_string` has for the ids of rows."""
        return self.texts("rocpd_string", ids)

    def categories(self, category_ids: Int64) -> TextColumn:
        """Return the names of categories; 4.1.0 has a table for them."""
        if self._tables.columns(self.named("rocpd_info_category")):
            return self.texts("rocpd_info_category", category_ids, "name")
        return self.strings(category_ids)

    def messages(self) -> TextColumn:
        """Return the text of the marker that each row of rocpd_event is; "" of others."""
        codes, messages = self._tables.texts(
            self.named("rocpd_event"), "extdata", _message_in
        )
        return TextColumn([*messages, ""], codes.astype(np.intp))

    def rows(self, table: str, columns: list[str]) -> list[tuple[object, ...]]:
        """Return the rows of a small table."""
        return self._tables.rows(self.named(table), columns)

    def _track_columns(self) -> dict[str, Int64]:
        if self._tracks is None:
            wanted = {"id": NULL, **dict.fromkeys(IN_TRACK, NULL)}
            self._tracks = self.integers("rocpd_track", wanted)
        return self._tracks

    def _times(self, timestamp_ids: Int64) -> Int64:
        """Return the times that `rocpd_timestamp` has for ids; NULL where it has none."""
        if self._timestamps is None:
            wanted = {"id": NULL, "value": NULL}
            self._timestamps = self.integers("rocpd_timestamp", wanted)
        values = np.append(self._timestamps["value"], NULL)
        return values[rows_of(self._timestamps["id"], timestamp_ids)]


def _message_in(extension: str) -> str:
    """Return the text of a marker in the JSON of `extdata`; "" where there is none."""
    if '"message"' not in extension or len(extension) > LARGEST_MESSAGE:
        return ""
    try:
        document = json.loads(extension)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("message", "")) if isinstance(document, dict) else ""
