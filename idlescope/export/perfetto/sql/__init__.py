"""Our module of Perfetto's SQL: idle time by cause, for those who work in Perfetto."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).with_name("idlescope")  # for --add-sql-package
MODULE = PACKAGE / "idle.sql"


def module_text() -> str:
    """Return the module `idlescope.idle`: statements that make tables and views."""
    return MODULE.read_text("utf-8")
