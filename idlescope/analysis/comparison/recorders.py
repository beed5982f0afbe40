"""By what a recording was made, in words: what recording costs the host is part of its times."""

from __future__ import annotations

from idlescope.analysis.observer import dear_options, with_each
from idlescope.trace.metadata import Metadata
from idlescope.trace.watch_said import NOT_WATCHED, said_by_watch

_TOOLS = {"kineto": "torch.profiler", "nsys": "Nsight Systems"}


def recorded_by(meta: Metadata) -> str:
    """Return what recorded a trace, with its options that cost the host much."""
    said = said_by_watch(meta)
    if said is not NOT_WATCHED:
        return f"a watch by {said.way}"
    if meta.measured is not None:
        return "a step clock"
    return f"{_TOOLS.get(meta.format, meta.format)}{with_each(dear_options(meta))}"
