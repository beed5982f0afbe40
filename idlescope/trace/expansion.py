"""How far a packed file may unpack: what grows further is a bomb, not a trace."""

from __future__ import annotations

from pathlib import Path

from idlescope.errors import TraceError

# Traces shrink 10 to 40 times; deflate can reach 1,032. More than this, after the first 64 MB, is a
# bomb.
MOST_EXPANSION = 250
EXPANSION_CHECKED_FROM = 64 << 20


def most_bytes(packed_bytes: int) -> int:
    """Return to how many bytes so many may unpack."""
    return max(EXPANSION_CHECKED_FROM, MOST_EXPANSION * packed_bytes)


def refuse_bomb(path: Path, packed_bytes: int, unpacked_bytes: int) -> None:
    """Raise TraceError where that many bytes became far more than those of a trace."""
    if unpacked_bytes > most_bytes(packed_bytes):
        raise TraceError(
            f"{path} unpacks to over {MOST_EXPANSION} times its size "
            f"({unpacked_bytes >> 20:,} MB from {packed_bytes / 2**20:.1f} MB so far): no trace "
            "does; unpack it yourself first if you trust it"
        )
