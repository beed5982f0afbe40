"""What a process that analyses files of ranks is asked, and how its answers begin.

Apart from what answers are made of (rank_file.py): processes start before that is imported.
"""

from __future__ import annotations

from struct import Struct

import msgspec

HEAD_LENGTH = Struct("<qq")  # bytes of an answer's head, and of its columns


class RankBytesError(ValueError):
    """What came is no file of a rank."""


class RankOptions(msgspec.Struct, frozen=True):
    """How each file is analysed: options of `open_trace` and `analyze`."""

    window: str
    min_gap_ns: int
    frames: bool
    phases: dict[str, tuple[tuple[str, str], ...]] | None = None
    step_ms: float | None = None
