"""Frames in which the host waits for another process: that one's work, and none of this host's.

A worker of vLLM waits for EngineCore to schedule the next step. In a synchronous loop the two take
turns; in an asynchronous one they work at the same time.
"""

from __future__ import annotations

import numpy as np

from idlescope.trace.model import RangeKind, Ranges, Trace
from idlescope.trace.names.waits import (
    ANOTHER_PROCESS,
    SHORTEST_WAIT,
    SPINNING,
    waiting_frames,
)


def process_waits(trace: Trace) -> Ranges:
    """Return the frames of a trace in which a thread waits for another process."""
    ranges, names = trace.ranges, trace.names
    is_frame = ranges.kind == RangeKind.FRAME
    if not is_frame.any():
        return Ranges.empty()
    used = np.zeros(len(names), np.bool_)
    used[ranges.name[is_frame]] = True
    waits, spins = np.zeros((2, len(names)), np.bool_)
    for name, awaited in waiting_frames(names, np.flatnonzero(used).tolist()).items():
        waits[name] = awaited.startswith(ANOTHER_PROCESS)
        spins[name] = SPINNING.search(names[name]) is not None
    if not waits.any():
        return Ranges.empty()
    rows = np.flatnonzero(is_frame & waits[ranges.name])
    lasting = ranges.end[rows] - ranges.start[rows] >= SHORTEST_WAIT
    return ranges.take(rows[lasting | spins[ranges.name[rows]]])
