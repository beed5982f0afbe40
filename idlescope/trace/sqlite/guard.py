"""Keep a damaged or hostile SQLite file from running for ever, filling the memory or being code.

A file of 45 kB can hold pages that lead in circles, or a view under the name of a table that never
ends. A query of ours reads a table once: what takes far longer than that for a file of its size is
stopped, and only tables are read that are stored as such.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# SQLite's own instructions: a row of a table takes two for each column that is read, and four bytes
# at the least. This is ten times more than any sound file takes.
INSTRUCTIONS_PER_BYTE = 20
LEAST_INSTRUCTIONS = 4_000_000
CHECK_EVERY = 100_000  # instructions, some milliseconds
LONGEST_TEXT = 16 << 20  # bytes: names of kernels reach some ten thousand
SQLITE_LIMIT_LENGTH = 0  # sqlite3.SQLITE_LIMIT_LENGTH, from Python 3.11 on

ROW_NUMBERS = (
    "rowid",
    "_rowid_",
    "oid",
)  # what SQLite calls them, unless columns are called so

STORED_NAMES = """
SELECT name FROM sqlite_master
WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name
"""
STORED_TABLE = """
SELECT count(*) FROM sqlite_master
WHERE type = 'table' AND name = ? AND sql NOT LIKE 'CREATE VIRTUAL%'
"""


class Guard:
    """Stops a query of a connection that runs for longer than a sound file lets it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        file_instructions = INSTRUCTIONS_PER_BYTE * path.stat().st_size
        self._most = LEAST_INSTRUCTIONS + file_instructions
        self._left = self._most
        connection.set_progress_handler(self._count, CHECK_EVERY)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if hasattr(connection, "setlimit"):
            connection.setlimit(SQLITE_LIMIT_LENGTH, LONGEST_TEXT)

    @contextmanager
    def query(self) -> Iterator[None]:
        """Watch a query, or several that share what one may take.

        Raises KeyboardInterrupt where Ctrl-C came in the middle of it: SQLite drops what is raised
        while it calls, and only says that it was interrupted.
        """
        self._left = self._most
        try:
            yield
        except sqlite3.OperationalError as error:
            if str(error) == "interrupted" and self._left >= 0:
                raise KeyboardInterrupt from error
            raise

    def _count(self) -> int:
        """Count what has run; other than 0 stops it."""
        self._left -= CHECK_EVERY
        return int(self._left < 0)


def row_number(columns: frozenset[str]) -> str | None:
    """Return by which name the rows of a table are numbered; None where columns take them all."""
    taken = {column.lower() for column in columns}
    return next((name for name in ROW_NUMBERS if name not in taken), None)
