"""Link launches and operations by the arrows between them, for files whose operations state no correlation id."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from idlescope.trace.damage import Damage
from idlescope.trace.kineto.columns import exact_ns
from idlescope.trace.kineto.events import KinetoEvents
from idlescope.trace.model import Calls, Operations
from idlescope.trace.table import Int64

FLOWS = frozenset(
    {"ac2g", "async_cpu_to_gpu", "async_gpu", "cpu_to_cuda"}
)  # newer and older names of the arrows


def linked(
    path: Path,
    operations: Operations,
    calls: Calls,
    gpus: tuple[tuple[str, int, str], ...],
    threads: tuple[tuple[str, str], ...],
) -> tuple[Operations, Calls]:
    """Return the tables with the id of the arrow that leaves a call, or ends at an operation, as correlation.

    An arrow meets a record by process and start time. Tables come back as they are where the file has no arrows.
    """
    tails: dict[tuple[str, int], int] = {}
    heads: dict[tuple[str, int], int] = {}
    for batch in KinetoEvents(path, Damage()):
        for e in batch.events:
            if e.ph not in ("s", "f") or e.cat not in FLOWS or not isinstance(e.id, int):
                continue
            (time,), known = exact_ns([e.ts], lambda: ["0"])
            if known.all():
                (tails if e.ph == "s" else heads)[str(e.pid), int(time)] = e.id
    if not heads:
        return operations, calls
    pid = [gpus[d][0] for d in operations.device.tolist()]
    caller = [threads[t][0] for t in calls.thread.tolist()]
    return (
        operations.replace(correlation=_met(heads, pid, operations.start)),
        calls.replace(correlation=_met(tails, caller, calls.start)),
    )


def _met(arrows: dict[tuple[str, int], int], pid: list[str], start: Int64) -> Int64:
    return np.array([arrows.get(key, 0) for key in zip(pid, start.tolist(), strict=True)], np.int64)
