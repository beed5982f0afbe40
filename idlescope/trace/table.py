"""Equally long numpy columns under names: what every table of a trace is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


TableT = TypeVar("TableT", bound="Table")


@dataclass(frozen=True)
class Table:
    """Equally long one-dimensional numpy columns; `DTYPES` names them and their types."""

    DTYPES: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        columns = [
            np.ascontiguousarray(getattr(self, column_name), dtype=column_dtype)
            for column_name, column_dtype in self.DTYPES.items()
        ]
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"{type(self).__name__}: columns differ in length")
        for column_name, column in zip(self.DTYPES, columns, strict=True):
            object.__setattr__(self, column_name, column)

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.DTYPES))))

    @classmethod
    def of(cls: type[TableT], **columns: ArrayLike) -> TableT:
        """Return a table of columns that are converted to its types."""
        return cls(
            **{
                name: np.asarray(column, cls.DTYPES[name])
                for name, column in columns.items()
            }
        )

    @classmethod
    def empty(cls: type[TableT]) -> TableT:
        """Return a table with no rows."""
        return cls(**{name: np.empty(0, dtype) for name, dtype in cls.DTYPES.items()})

    def take(self: TableT, rows: NDArray[Any] | slice) -> TableT:
        """Return the rows chosen by an index array, a mask or a slice.

        A mask that chooses all of them makes no copy: that may be hundreds of megabytes.
        """
        if isinstance(rows, np.ndarray) and rows.dtype == np.bool_ and rows.all():
            return self
        return type(self)(**{name: getattr(self, name)[rows] for name in self.DTYPES})

    def replace(self: TableT, **columns: ArrayLike) -> TableT:
        """Return the table with some of its columns replaced."""
        return type(self)(
            **{name: columns.get(name, getattr(self, name)) for name in self.DTYPES}
        )

    @classmethod
    def joined(cls: type[TableT], tables: Sequence[TableT]) -> TableT:
        """Return one table of the rows of several, in order."""
        if len(tables) == 1:
            return tables[0]
        if not tables:
            return cls.empty()
        columns = {}
        for column_name in cls.DTYPES:
            columns[column_name] = np.concatenate(
                [getattr(table, column_name) for table in tables]
            )
        return cls(**columns)

    def recoded(self: TableT, codes: Mapping[str, Int32]) -> TableT:
        """Return the table with the codes of some columns replaced.

        `codes[column][old]` is the new code.
        """
        coded_columns = (
            [column_name for column_name in self.DTYPES if column_name in codes]
            if len(self)
            else []
        )
        return self.replace(
            **{
                column_name: codes[column_name][getattr(self, column_name)]
                for column_name in coded_columns
            }
        )

    def shifted(self: TableT, ns: int) -> TableT:
        """Return the table with so many nanoseconds added to all of its times."""
        time_columns = (
            [
                column_name
                for column_name in ("start", "end", "time")
                if column_name in self.DTYPES
            ]
            if ns
            else []
        )
        return self.replace(
            **{column_name: getattr(self, column_name) + ns for column_name in time_columns}
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the columns as a pandas DataFrame, names still as indices."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in self.DTYPES})
