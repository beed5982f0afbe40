"""What the ranks of a job are to each other."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

WAITS_PCT = 5.0  # of the window: less waiting for other ranks is balanced


class GroupKind(str, Enum):
    """What the ranks of a job are to each other."""

    BALANCED = "balanced"
    LATE_HOST = "one rank's host is late"
    LONGER_COMPUTE = "one rank computes longer"
    ONE_LATE = "one rank is late"
    TURNS = "late by turns"
    PIPELINE = "pipeline"
    DUMMIES = "dummy batches"
    APART = "no communication"
    CANNOT_TELL = "cannot tell"

    def __str__(self) -> str:
        return self.value


class GroupVerdict(Struct, frozen=True):
    """Two sentences: what, and what to do."""

    kind: GroupKind
    text: str
