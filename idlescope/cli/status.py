"""A line on the terminal that says how far a command is."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.status import Status

REFRESH_S = 0.1


def counting(status: Status, doing: str, what: str) -> Callable[[int], None]:
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
