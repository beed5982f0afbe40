"""Which rows of a table can be read although pages of its file are damaged.

Rows lie in pages by their numbers. A walk ends at a damaged page; where reading works again behind
it is found by doubling the step until a row can be read, then by halving it. SQLite finds damage
only where it breaks a page's structure (it has no checksums): what is read around such a page is
always marked as incomplete.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from idlescope.trace.sqlite.guard import Guard
from idlescope.trace.sqlite.numbers import NULL

MOST_DAMAGED_PLACES = 1_000  # of a table; beyond, it is not worth reading
FURTHEST = 1 << 62  # the highest number of a row that is looked for


class Stretch(NamedTuple):
    """Rows that lie beside each other and can be read, by their numbers."""

    first: int
    last: int


class Rows:
    """Reads the rows of one table, whole: parts of a row may lie in pages of their own."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        guard: Guard,
        table: str,
        number: str,
        columns: Sequence[str],
    ) -> None:
        self._connection = connection
        self._guard = guard
        lengths = "".join(f', length("{column}")' for column in columns)
        self._query = (
            f'SELECT {number}{lengths} FROM "{table}" NOT INDEXED '  # noqa: S608 - names of the file's own
            f"WHERE {number} >= ? ORDER BY {number}"
        )

    def stretches(self, most_rows: int) -> list[Stretch]:
        """Return what can be read, in order, in stretches of so many rows at the most.

        Raises sqlite3.DatabaseError where there is more damage than is worth the time.
        """
        found: list[Stretch] = []
        begin = NULL
        # all that is tried shares what one query may take, so that loops of pages end
        with self._guard.query():
            for _ in range(MOST_DAMAGED_PLACES):
                further = self._walk(begin, most_rows, found)
                if further is None:
                    return found
                begin = further
        raise sqlite3.DatabaseError("damaged in too many places")

    def _walk(self, begin: int, most_rows: int, found: list[Stretch]) -> int | None:
        """Add what can be read from a row on; return where it goes on, None at the end."""
        first, last, count = begin, begin - 1, 0
        try:
            for number in self._numbers(begin):
                if number <= last and count:
                    raise sqlite3.DatabaseError("rows out of order")
                if count == 0:
                    first = number
                last, count = number, count + 1
                if count == most_rows:
                    found.append(Stretch(first, last))
                    count = 0
            at_end = True
        except sqlite3.OperationalError:  # stopped: it has no end
            raise
        except sqlite3.DatabaseError:
            at_end = False
        if count:
            found.append(Stretch(first, last))
        if at_end or last >= FURTHEST:
            return None
        # numbers of rows begin at 1 in exports; nothing says where an unreadable first page begins
        return self._behind_damage(max(last, 0))

    def _behind_damage(self, last: int) -> int | None:
        """Return from which number on rows can be read again behind a row; None if nowhere."""
        step = 1
        while not self._can_read(last + step):
            step *= 2
            if last + step > FURTHEST:
                return None
        unreadable, readable = last + step // 2, last + step
        while readable - unreadable > 1:
            middle = (unreadable + readable) // 2
            if self._can_read(middle):
                readable = middle
            else:
                unreadable = middle
        return readable

    def _can_read(self, number: int) -> bool:
        try:
            next(self._numbers(number), None)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False
        return True

    def _numbers(self, begin: int) -> Iterator[int]:
        for number, *_ in self._connection.execute(self._query, (begin,)):
            yield _checked(number)


def _checked(number: Any) -> int:
    if not isinstance(number, int):
        raise sqlite3.DatabaseError("a row without a number")
    return number
