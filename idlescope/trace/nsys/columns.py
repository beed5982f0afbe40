"""What the readers of one export share: ids and strings as codes, and rows that cannot be used.

Two id columns tell processes and threads apart. globalTid is hardware:8 | virtual machine:8 |
pid:24 | tid:24 bits; globalPid is the same without a tid (Nsight Systems user guide, "Serialized
Process and Thread Identifiers").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.damage import Damage
from idlescope.trace.distinct import combined, indexed
from idlescope.trace.interner import Interner
from idlescope.trace.nsys.tables import Tables
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.table import Bool, Int32, Int64

PROCESS_BITS = -(1 << 24)  # what of a globalTid is the globalPid
LATEST_NS = 2**61  # 73 years either way: sums and differences of such times fit int64
NO_STRING = -1  # for the NULLs of a column of StringIds


class Export:
    """The tables of an export, and the codes that its rows were given so far."""

    def __init__(
        self,
        tables: Tables,
        progress: Callable[[int], None] | None = None,
        damage: Damage | None = None,
    ) -> None:
        self.tables = tables
        self.progress = progress
        self.damage = Damage() if damage is None else damage
        self.events = 0  # rows read
        self.last = NULL  # ns, the latest end of any row that was used
        self.names: Interner[str] = Interner()
        self.threads: Interner[int] = Interner()  # globalTid
        self.devices: Interner[tuple[int, int]] = Interner()  # globalPid and device number
        self.streams: Interner[int] = Interner()

    def integers(self, table: str, columns: dict[str, int]) -> dict[str, Int64]:
        """Return columns of a table; see Tables.integers."""
        return self.tables.integers(table, columns, self.damage)

    def timed(
        self, table: str, columns: dict[str, int], kind: str
    ) -> tuple[dict[str, Int64], NDArray[np.intp]]:
        """Return the columns `start`, `end` and those named, and which rows can be used.

        See `usable`.
        """
        timed_rows = self.integers(table, {"start": NULL, "end": NULL, **columns})
        all_rows = np.ones(len(timed_rows["start"]), np.bool_)
        return timed_rows, self.usable(timed_rows, all_rows, table, kind, columns)

    def usable(
        self,
        rows: dict[str, Int64],
        among: Bool,
        table: str,
        kind: str,
        columns: dict[str, int],
    ) -> NDArray[np.intp]:
        """Return which of some rows have times, in order, and all that is needed.

        Needed are those of `columns` whose NULLs are NULL. The other rows are counted as lost
        records of `kind`.
        """
        self.events += int(among.sum())
        if self.progress is not None:
            self.progress(self.events)
        start_column, end_column = rows["start"], rows["end"]
        # zeros are CUPTI's word for a time that it did not get: they would stretch a window to the
        # session's start
        reasons = {
            "without a start or an end": (start_column == NULL) | (end_column == NULL),
            "with zeros for their times": (start_column == 0) & (end_column == 0),
            "with times that no clock has": _far(start_column) | _far(end_column),
            "that end before they start": end_column < start_column,
        }
        for column, null_value in columns.items():
            if null_value == NULL:
                reasons[f"without {column}"] = rows[column] == NULL
        sound_rows = among.copy()
        for reason, rejected in reasons.items():
            self._drop(f"{kind} {reason} were left out", sound_rows & rejected, table, kind)
            sound_rows &= ~rejected
        found = np.flatnonzero(sound_rows)
        self.last = max(self.last, int(end_column[found].max(initial=NULL)))
        return found

    def _drop(self, what: str, rows: Bool, table: str, kind: str) -> None:
        if rows.any():
            self.damage.dropped(what, _first_place(table, rows), kind, int(rows.sum()))

    def repair(self, what: str, rows: Bool, table: str) -> None:
        """Count rows that were repaired."""
        if rows.any():
            self.damage.repaired(what, _first_place(table, rows), int(rows.sum()))

    def named(
        self, ids: Int64, text_of: Callable[[str], str] = str, otherwise: str = ""
    ) -> Int32:
        """Return a column of StringIds as indices of names.

        `otherwise` names ids without a string; where it is empty, their index is -1.
        """
        string_ids, id_index = indexed(ids)
        text_of_id = self.tables.strings(string_ids.tolist())
        name_codes = np.full(len(string_ids), -1, np.int32)
        for string_index, string_id in enumerate(string_ids.tolist()):
            name_text = (
                text_of(text_of_id[string_id]) if string_id in text_of_id else otherwise
            )
            if name_text:
                name_codes[string_index] = self.names.code(name_text)
        return name_codes[id_index]

    def labelled(self, label: Callable[..., str], *columns: Int64) -> Int32:
        """Return, as indices of names, the label of the values that each row has in columns."""
        combinations, index = combined(*columns)
        return self.names.codes(label(*combination) for combination in combinations)[index]

    def threaded(self, global_tids: Int64) -> Int32:
        """Return a column of globalTid as indices of threads."""
        return coded(self.threads, global_tids)


def _far(times: Int64) -> Bool:
    return np.asarray((times > LATEST_NS) | (times < -LATEST_NS), np.bool_)


def _first_place(table: str, rows: Bool) -> str:
    return f"{table} row {int(rows.argmax()) + 1}"


def coded(interner: Interner[int], values: Int64) -> Int32:
    """Return a column as the codes that an interner gives its values."""
    found, index = indexed(values)
    return interner.codes(found.tolist())[index]


def repeated(columns: Sequence[Int64]) -> Bool:
    """Return which rows are equal in all columns to one before them.

    The first column should tell most rows apart: only rows that share a value of it are compared.
    """
    first_column = columns[0]
    row_order = np.argsort(first_column, kind="stable")
    repeats = np.zeros(first_column.size, np.bool_)
    same_as_before = first_column[row_order[1:]] == first_column[row_order[:-1]]
    if not same_as_before.any():
        return repeats
    is_suspect = np.append(False, same_as_before) | np.append(same_as_before, False)
    suspects = np.sort(row_order[is_suspect])

    # of rows that are equal in all columns, the first one comes first
    suspect_columns = [column[suspects] for column in columns]
    suspects = suspects[np.lexsort([suspects, *suspect_columns])]
    is_equal = np.ones(suspects.size - 1, np.bool_)
    for column in columns:
        is_equal &= column[suspects[1:]] == column[suspects[:-1]]
    repeats[suspects[1:][is_equal]] = True
    return repeats


def pid_of(global_id: int) -> int:
    """Return the operating system's id of the process in a globalPid or globalTid."""
    return (global_id >> 24) & 0xFFFFFF


def unsigned(global_id: int) -> int:
    """Return an id as Parquet files hold it; SQLite's are signed."""
    return global_id & (2**64 - 1)
