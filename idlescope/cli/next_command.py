"""The end of what a command prints: what was written, and what to type next, on whole lines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from idlescope.report.tables.terminal import plain


def show_next(console: Console, words: Sequence[object], what_for: str) -> None:
    """Print the next command, and what it is for."""
    command = shlex.join(["idlescope", *map(str, words)])
    line = plain("next: ", "dim").append_text(plain(command, "bold"))
    console.print(line.append_text(plain(f"   {what_for}", "dim")), soft_wrap=True)


def show_written(console: Console, written: Sequence[Path], verbose: bool = True) -> None:
    """Print where the files of a result are: all, or the first and how many more there are.

    A blank line goes before them.
    """
    console.print()
    for path in written if verbose else written[:1]:
        console.print(plain(path, "dim"), soft_wrap=True)
    others = len(written) - 1
    if others > 0 and not verbose:
        console.print(plain(f"and {others} more beside it (--verbose)", "dim"))
