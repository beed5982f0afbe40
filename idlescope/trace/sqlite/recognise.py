"""Tell SQLite files from others, and one kind of them from another by their tables."""

from __future__ import annotations

from pathlib import Path

SQLITE_MAGIC = b"SQLite format 3\x00"


def tables_of(path: Path, head: bytes) -> frozenset[str]:
    """Return the names of the tables of an SQLite file; none of others, and of damaged ones.

    `head` are the file's first bytes.
    """
    if not head.startswith(SQLITE_MAGIC):
        return frozenset()
    import sqlite3
    from contextlib import closing

    try:
        database_uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(database_uri, uri=True)) as database:
            database.text_factory = bytes  # names need not be UTF-8
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return frozenset(name.decode("utf-8", "replace") for (name,) in rows)
    except (sqlite3.Error, ValueError):  # messages about damage need not be UTF-8
        return frozenset()
