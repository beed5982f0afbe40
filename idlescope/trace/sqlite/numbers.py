"""Values of any type as int64, as SQLite stores any type in any column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from idlescope.trace.damage import Damage
from idlescope.trace.table import Int64

# stands for NULL in a column that may hold any other integer
NULL = int(np.iinfo(np.int64).min)


def whole_numbers(
    values: Sequence[Any], null: int, column: str, rows_before: int, damage: Damage
) -> Int64:
    """Return values of any type as integers; those that are none are NULL, and told to `damage`.

    `column` is called `Table.column`; `rows_before` of the table's rows come before the values.
    """
    numbers = np.full(len(values), null, np.int64)
    for row_index, cell_value in enumerate(values):
        if cell_value is None:
            continue
        number = _whole_number(cell_value)
        if number is None:
            row_place = f"row {rows_before + row_index + 1}"
            damage.repaired(
                f"{column} is not an integer and was taken as missing", row_place
            )
        else:
            numbers[row_index] = number
    return numbers


def _whole_number(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    is_cut = isinstance(value, float) and number != value
    fits = NULL <= number < -NULL
    return number if fits and not is_cut else None
