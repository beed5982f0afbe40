"""Columns of an SQLite file that point into a table of strings, as texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.distinct import indexed
from idlescope.trace.interner import Interner
from idlescope.trace.sqlite.tables import SqliteTables
from idlescope.trace.table import Int32, Int64


class TextColumn(NamedTuple):
    """The distinct texts of a column, and each row's index among them; "" where there is none."""

    texts: Sequence[str]
    text_of_row: NDArray[np.intp]

    def codes(self, interner: Interner[str]) -> Int32:
        """Return each row's text as the code that an interner gives it."""
        return interner.codes(self.texts)[self.text_of_row]

    def of_rows(self) -> NDArray[np.object_]:
        """Return each row's text."""
        return np.array([*self.texts, ""], np.object_)[self.text_of_row]


def texts_of_ids(
    tables: SqliteTables, ids: Int64, table: str, column: str = "string"
) -> TextColumn:
    """Return the texts that a table has in a column for the ids of rows."""
    string_ids, index = indexed(ids)
    text_of_id = tables.strings(string_ids.tolist(), table, column)
    return TextColumn(
        [text_of_id.get(text_id, "") for text_id in string_ids.tolist()], index
    )
