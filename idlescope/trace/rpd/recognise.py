"""Tell RPD files from others, without importing what reads them."""

from __future__ import annotations

from pathlib import Path

from idlescope.trace.sqlite.recognise import tables_of

TABLES = {"rocpd_api", "rocpd_op"}


def is_rpd(path: Path, head: bytes) -> bool:
    """Return whether a file is an RPD trace, from its first bytes and its tables."""
    return tables_of(path, head) >= TABLES
