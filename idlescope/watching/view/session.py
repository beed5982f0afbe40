"""Watch for some time: read once a second, and show what is known so far."""

from __future__ import annotations

import time
from collections.abc import Callable

from idlescope.watching.view.document import WatchedDocument
from idlescope.watching.view.members import FOR_GOOD, Span
from idlescope.watching.view.places import Members

EVERY_S = 1.0
ONCE_S = 2.0  # between two readings of a server that has only counters


def watch_for(
    members: Members, seconds: float | None, show: Callable[[], None] | None = None
) -> None:
    """Read until the time is over, or all have ended; Ctrl-C is the caller's.

    `seconds` is None for no end.
    """
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        if show is not None:
            show()
        time_now = time.monotonic()
        if end is not None and time_now >= end:
            return
        if _all_ended(members) and not members.may_grow:
            return
        left_s = EVERY_S if end is None else min(EVERY_S, end - time_now)
        time.sleep(left_s)
        members.read()


def look_once(members: Members) -> None:
    """Read what is there; twice where one answer tells nothing."""
    if any(member.needs_time for member in members.members):
        time.sleep(ONCE_S)
    members.read()


def documents(members: Members, span: Span) -> list[WatchedDocument]:
    """Return what is known of all of them."""
    return [member.document(span) for member in members.members]


def _all_ended(members: Members) -> bool:
    return all(member.gone in FOR_GOOD for member in members.members)
