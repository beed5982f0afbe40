"""A line on the terminal that says how far a command is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

REFRESH_S = 0.1
ASKED_BEFORE_STREAM = ("TTY_COMPATIBLE", "FORCE_COLOR")  # variables, by rich


class StatusLine(Protocol):
    """A line that can say something else."""

    def update(self, status: str, /) -> None:
        """Say something else."""


class _Unseen:
    """The line where there is no terminal to show it."""

    def update(self, status: str, /) -> None:
        """Say it to nobody."""


def is_no_terminal(stream: TextIO) -> bool:
    """Return whether a stream is surely no terminal to rich, which is not imported for that."""
    is_said = any(name in os.environ for name in ASKED_BEFORE_STREAM)
    return not is_said and not stream.isatty()


def status_line(console: Console | None, doing: str) -> AbstractContextManager[StatusLine]:
    """Return a line that says what a command does, while it does it; None: there is no terminal.

    Where a file or a pipe is written to, what rich draws it with is not even imported: 15 ms.
    """
    if console is None or not console.is_terminal:
        return nullcontext(_Unseen())
    return console.status(doing)


@contextmanager
def counted_line(
    console: Callable[[], Console | None], doing: str, what: str
) -> Iterator[Callable[[int], None]]:
    """Give what to call with a count so far; the line is there from the first call on.

    A thread draws it, and a process of several threads cannot be copied. The console is not asked
    for before, either: copies are at work while it is imported.
    """
    with ExitStack() as shown:
        counts: list[Callable[[int], None]] = []

        def count(number: int) -> None:
            if not counts:
                status = shown.enter_context(status_line(console(), doing))
                counts.append(counting(status, doing, what))
            counts[0](number)

        yield count


def counting(status: StatusLine, doing: str, what: str) -> Callable[[int], None]:
    """Return what to call with a count so far, as often as one likes.

    The line is renewed ten times a second.
    """
    due = 0.0

    def count(number: int) -> None:
        nonlocal due
        if (time_now := time.monotonic()) >= due:
            status.update(f"{doing}: {number:,} {what}")
            due = time_now + REFRESH_S

    return count
