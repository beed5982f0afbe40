"""The columns of tables as bytes, one behind the other: how they go from process to process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.table import Table


def column_bytes(tables: Sequence[Table]) -> Iterator[bytes | memoryview]:
    """Yield the columns of some tables."""
    for table in tables:
        for column_name in table.DTYPES:
            column: NDArray[Any] = getattr(table, column_name)
            yield column.data.cast("B") if column.size else b""


def tables_in(
    columns: memoryview, kinds: Sequence[type[Table]], rows: Sequence[int]
) -> list[Table]:
    """Return the tables of some kinds and numbers of rows whose columns these bytes are.

    Raises ValueError where there are too few.
    """
    tables = []
    position = 0
    for kind, row_count in zip(kinds, rows, strict=True):
        arrays = {}
        for column_name, column_type in kind.DTYPES.items():
            arrays[column_name] = np.frombuffer(columns, column_type, row_count, position)
            position += arrays[column_name].nbytes
        tables.append(kind(**arrays))
    return tables
