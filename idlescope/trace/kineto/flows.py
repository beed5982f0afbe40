"""Link launches and operations by the arrows between them, where no correlation id is stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from idlescope.trace.damage import Damage
from idlescope.trace.kineto.columns import Gpu, Track
from idlescope.trace.kineto.events import KinetoEvents
from idlescope.trace.kineto.times import exact_ns
from idlescope.trace.model import Calls, Operations
from idlescope.trace.table import Int64

# newer and older names of the arrows
FLOWS = frozenset({"ac2g", "async_cpu_to_gpu", "async_gpu", "cpu_to_cuda"})

# Ids of arrows by where they start or end: pid as text, time in ns.
ArrowIds = dict[tuple[str, int], int]


def linked(
    path: Path,
    operations: Operations,
    calls: Calls,
    gpus: tuple[Gpu, ...],
    threads: tuple[Track, ...],
) -> tuple[Operations, Calls]:
    """Return the tables with the ids of arrows as correlation.

    The id is that of the arrow that leaves a call, or ends at an operation. An arrow meets a record
    by process and start time. Tables come back as they are where the file has no arrows.
    """
    arrow_starts, arrow_ends = _arrows(path)
    if not arrow_ends:
        return operations, calls
    operation_pids = [gpus[device].pid for device in operations.device.tolist()]
    caller_pids = [threads[thread][0] for thread in calls.thread.tolist()]
    return (
        operations.replace(correlation=_met(arrow_ends, operation_pids, operations.start)),
        calls.replace(correlation=_met(arrow_starts, caller_pids, calls.start)),
    )


def _arrows(path: Path) -> tuple[ArrowIds, ArrowIds]:
    """Return where the arrows of a file start, and where they end."""
    arrow_starts: ArrowIds = {}
    arrow_ends: ArrowIds = {}
    for batch in KinetoEvents(path, Damage()):
        for event in batch.events:
            is_arrow = event.ph in ("s", "f") and event.cat in FLOWS
            if not is_arrow or not isinstance(event.id, int):
                continue
            (time,), readable = exact_ns([event.ts], lambda: ["0"])
            if readable.all():
                arrow_tips = arrow_starts if event.ph == "s" else arrow_ends
                arrow_tips[str(event.pid), int(time)] = event.id
    return arrow_starts, arrow_ends


def _met(arrow_ids: ArrowIds, pids: list[str], start: Int64) -> Int64:
    """Return for each record, by pid and start, the id of the arrow that meets it; 0: none."""
    records = zip(pids, start.tolist(), strict=True)
    return np.array([arrow_ids.get(record, 0) for record in records], np.int64)
