"""The tables of a Nsight Systems export as numpy columns, whichever files hold them.

Exports of different years differ in tables and columns, so callers ask what is there and never for
a version. A table that is not there is an empty one, a column that is not there holds NULL in every
row.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from idlescope.trace.damage import Damage
from idlescope.trace.table import Int32, Int64

Key = TypeVar("Key", bound=Hashable)


class Tables(Protocol):
    """What a reader asks of an export.

    Every method raises TraceError where the export cannot be read.
    """

    def columns(self, table: str) -> frozenset[str]:
        """Return the names of a table's columns, none where it is not there."""

    def rows(self, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the rows of a small table as Python values."""

    def integers(
        self, table: str, columns: Mapping[str, int], damage: Damage
    ) -> dict[str, Int64]:
        """Return columns of a table, each with the value that stands for its NULLs.

        Rows keep their order from call to call. What is not an integer counts as NULL and is told
        to `damage`.
        """

    def texts(
        self, table: str, column: str, key: Callable[[str], Key]
    ) -> tuple[Int32, tuple[Key, ...]]:
        """Return a text column as indices, -1 for NULL, into the distinct keys of its texts."""

    def strings(self, ids: Sequence[int]) -> dict[int, str]:
        """Return the texts that StringIds has for these ids."""

    def sizes(self) -> dict[str, int]:
        """Return the number of rows of every table, by name; at least 1 where it is damaged."""
