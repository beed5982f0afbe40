"""The end of what a command prints: what to type next, on a line that can be copied."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Console

from idlescope.report.tables.terminal import plain


def show_next(console: Console, words: Sequence[object], what_for: str) -> None:
    """Print the next command, and what it is for."""
    command = shlex.join(["idlescope", *map(str, words)])
    line = plain("next: ", "dim").append_text(plain(command, "bold"))
    console.print(line.append_text(plain(f"   {what_for}", "dim")), soft_wrap=True)
