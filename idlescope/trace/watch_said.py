"""What a recording of a watch says of how it was made."""

from __future__ import annotations

from typing import Any

import msgspec

from idlescope.trace.metadata import Metadata
from idlescope.trace.names.own_engine import WATCHED

CUPTI, PROFILER = "CUPTI", "the profiler"


class WatchSaid(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of `Metadata.extra`, beside `source`."""

    way: str = ""  # how the device was timed: "events", "activity", …
    engine: str = ""  # "vllm", "sglang", …
    engine_version: str = ""
    tool_version: str = ""
    # The host has worked for a step before its span begins: an engine's hooks tell of it late.
    steps_begin_late: bool = False
    # The engine's own setting: it launches a step while the last one runs.
    overlaps: bool = False

    @property
    def by_cupti(self) -> bool:
        """Return whether CUPTI recorded the device: launching a CUDA graph takes longer then."""
        return self.way == "activity"

    def to_extra(self) -> dict[str, Any]:
        """Return the entries."""
        return {"source": WATCHED} | msgspec.to_builtins(self)


NOT_WATCHED = WatchSaid()


def recorder(meta: Metadata) -> str:
    """Return what makes recorded steps longer than others, in words."""
    return CUPTI if said_by_watch(meta).by_cupti else PROFILER


def said_by_watch(meta: Metadata) -> WatchSaid:
    """Return what a watch says; NOT_WATCHED where a trace is no watch's, or damaged there."""
    if meta.extra.get("source") != WATCHED:
        return NOT_WATCHED
    try:
        return msgspec.convert(meta.extra, WatchSaid)
    except msgspec.ValidationError:
        return NOT_WATCHED
