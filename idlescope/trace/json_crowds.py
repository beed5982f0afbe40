"""Keep JSON that is decoded as a whole from filling the memory."""

from __future__ import annotations

from pathlib import Path

from idlescope.errors import TraceError

# An object takes some 150 bytes in memory, however short it is in a file that wants to fill it.
MOST_OBJECTS = 20_000_000


def refuse_crowd(path: Path, content: bytes) -> None:
    """Raise TraceError where a file's content has more objects than fit into memory."""
    if content.count(b"{") > MOST_OBJECTS:
        raise TraceError(
            f"{path} holds over {MOST_OBJECTS:,} objects, more than can be read at once: "
            "record fewer steps"
        )
