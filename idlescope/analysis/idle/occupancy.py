"""How idle a device was: active, compute, copy-only, idle and compute-idle time within a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.intervals import Intervals
from idlescope.trace.model import OperationKind, Operations
from idlescope.trace.table import Bool, Int64


class Occupancy(Struct, frozen=True):
    """The times of `idlescope/analysis/README.md`, "Per device", in nanoseconds."""

    window: tuple[int, int]  # [start, end)
    active_ns: int
    compute_ns: int
    gaps: Intervals  # the maximal intervals of idle

    @property
    def window_ns(self) -> int:
        """Return the length of the window."""
        return self.window[1] - self.window[0]

    @property
    def copy_only_ns(self) -> int:
        """Return the time when only copies and memsets ran."""
        return self.active_ns - self.compute_ns

    @property
    def idle_ns(self) -> int:
        """Return the time when nothing ran."""
        return self.window_ns - self.active_ns

    @property
    def compute_idle_ns(self) -> int:
        """Return the time when no kernel and no graph ran."""
        return self.window_ns - self.compute_ns


def occupancy(operations: Operations, window: tuple[int, int] | None = None) -> Occupancy:
    """Measure the operations of one device, over all its streams, within a window [start, end), ns.

    Unless given, the window is from the first start to the last end; there must be at least one
    operation then.
    """
    low, high = window or (int(operations.start.min()), int(operations.end.max()))
    active = intervals.clip(intervals.union(operations.start, operations.end), low, high)
    kernels = operations.take(is_compute(operations))
    computing = intervals.clip(intervals.union(kernels.start, kernels.end), low, high)
    return Occupancy(
        window=(low, high),
        active_ns=active.measure,
        compute_ns=computing.measure,
        gaps=intervals.gaps(active, low, high),
    )


class GroupOccupancy(NamedTuple):
    """How long each group of operations ran within a window, ns."""

    active_ns: Int64
    compute_ns: Int64
    idle_ns: Int64


def occupancy_by_group(
    operations: Operations, groups: Groups, window: tuple[int, int]
) -> GroupOccupancy:
    """Measure groups of operations, such as streams, as `occupancy` does, in one pass for all."""
    low, high = window
    start, end = operations.start.clip(low, high), operations.end.clip(low, high)
    active_ns = groups.covered(start, end)
    computing = is_compute(operations)
    compute_ns = groups.only(computing).covered(start[computing], end[computing])
    return GroupOccupancy(active_ns, compute_ns, high - low - active_ns)


def is_compute(operations: Operations) -> Bool:
    """Return which operations are kernels or graph-level records, not copies or memsets."""
    kernel = operations.kind == OperationKind.KERNEL
    graph = operations.kind == OperationKind.GRAPH
    return np.asarray(kernel | graph, np.bool_)
