"""Sizes of the terminal that the environment states."""

from __future__ import annotations

import os

# rich reads the first two, typer the last; each calls int() on what it finds
SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
MOST_DIGITS = 5


def forget_unreadable_sizes() -> None:
    """Drop what states no size from the environment: the terminal itself is asked then."""
    for name in SIZES:
        stated = os.environ.get(name, "0")
        readable = stated.isascii() and stated.isdigit()
        if not readable or len(stated) > MOST_DIGITS:
            del os.environ[name]
