"""The two modes of a run: how many steps are in flight."""

from __future__ import annotations

from enum import Enum

from idlescope.trace.names.own_engine import DEPTHS

BOTH = "both"  # of `--mode`: one after the other


class Mode(str, Enum):
    """How steps are batched; equal to its name, so that it is the key in summary.json."""

    SYNC = "sync"
    ASYNC = "async"

    __str__ = str.__str__

    @property
    def depth(self) -> int:
        """Return how many steps are in flight."""
        return DEPTHS[self.value]

    @property
    def adjective(self) -> str:
        """Return the word that sentences begin with."""
        return "Synchronous" if self is Mode.SYNC else "Asynchronous"
