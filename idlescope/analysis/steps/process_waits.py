"""Frames in which the host waits for another process: that one's work, and none of this host's.

A worker of vLLM waits for EngineCore to schedule the next step. In a synchronous loop the two take
turns; in an asynchronous one they work at the same time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from idlescope.trace.model import RangeKind, Ranges, Trace
from idlescope.trace.names.waits import (
    ANOTHER_PROCESS,
    SHORTEST_WAIT,
    SPINNING,
    waiting_frames,
)
from idlescope.trace.table import Bool


def process_waits(trace: Trace) -> Ranges:
    """Return the frames of a trace in which a thread waits for another process."""
    ranges, names = trace.ranges, trace.names
    waits, spins = _waiting(names)
    if not waits.any():
        return Ranges.empty()
    rows = np.flatnonzero(waits[ranges.name])
    rows = rows[ranges.kind[rows] == RangeKind.FRAME]
    lasting = ranges.end[rows] - ranges.start[rows] >= SHORTEST_WAIT
    return ranges.take(rows[lasting | spins[ranges.name[rows]]])


@lru_cache(maxsize=8)  # an analysis asks this of one trace's names several times
def _waiting(names: tuple[str, ...]) -> tuple[Bool, Bool]:
    """Return which names are of waits for another process, and which of those spin."""
    waits, spins = np.zeros((2, len(names)), np.bool_)
    for name, awaited in waiting_frames(names, range(len(names))).items():
        waits[name] = awaited.startswith(ANOTHER_PROCESS)
        spins[name] = SPINNING.search(names[name]) is not None
    return waits, spins
