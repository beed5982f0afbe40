"""What was repaired and lost in the text of one Kineto file, by the bytes where it stands."""

from __future__ import annotations

import re
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.damage import KINDS, Damage
from idlescope.trace.kineto import categories
from idlescope.trace.kineto.repair import Done

# Once this much, and more than half of what was read, is lost, it is not worth reading on.
LOST_BYTES = 8 << 20
_CATEGORY = re.compile(rb'"cat"\s*:\s*"([^"]{1,60})"')
_PHASE = re.compile(rb'"ph"\s*:')


class TextDamage:
    """Counts repairs and losses of one pass over a file in a Damage."""

    def __init__(self, path: Path, damage: Damage) -> None:
        self._path = path
        self._damage = damage
        self._lost_bytes = 0

    def repaired(self, repairs: Done, offset: int) -> None:
        """Count repairs in a text that starts at byte `offset`."""
        for what, count, first in repairs:
            self._damage.repaired(what, place(offset + first), count)

    def noted(self, what: str, offset: int) -> None:
        """Count one thing that changes no figure."""
        self._damage.repaired(what, place(offset))

    def cut(self, what: str, offset: int) -> None:
        """Note that an unknown number of records is missing from byte `offset` on."""
        self._damage.cut(what, place(offset))

    def lost(self, text: bytes, offset: int) -> None:
        """Count what stood in a text that cannot be read, by what it says that it was.

        Raises TraceError where most of the file is lost.
        """
        self._lost_bytes += len(text)
        bytes_read = offset + len(text)
        if self._lost_bytes > LOST_BYTES and self._lost_bytes > bytes_read // 2:
            raise self.unreadable(
                f"{self._lost_bytes >> 20} MB of its first {bytes_read >> 20} MB cannot be read"
            )
        categories_lost = [
            name.decode("utf-8", "replace") for name in _CATEGORY.findall(text)
        ]
        kinds = [categories.kind(category) for category in categories_lost]
        if not kinds or len(kinds) != len(_PHASE.findall(text)) or not _legible(text):
            kinds.append("unknown")  # what else stood there cannot be told
        for lost_kind in KINDS:
            records = "records" if lost_kind == "unknown" else lost_kind
            self._damage.dropped(
                f"{records} that cannot be read were left out",
                place(offset),
                lost_kind,
                kinds.count(lost_kind),
            )

    def unreadable(self, reason: str) -> TraceError:
        """Return the error of a file that is not worth reading on."""
        return TraceError(
            f"{self._path} is damaged: {reason}; "
            "record it again, or copy it again from where it was made"
        )


def place(offset: int) -> str:
    """Return how warnings name a byte of the text."""
    return f"byte {offset:,}"


def holds_events(text: bytes) -> bool:
    """Return whether there is anything in a text that looks like an event."""
    return _PHASE.search(text) is not None


def _legible(text: bytes) -> bool:
    """Return whether a text is one, and not what a disk or a copy has left of one."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return False
    return not any(char < " " and char not in "\t\r\n" for char in decoded)
