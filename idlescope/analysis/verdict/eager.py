"""Idle time of eager execution: between kernels of a step that are launched one by one."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.grouping import by_value
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import Operations
from idlescope.trace.table import Bool, Int64

# Launching a kernel takes the host 5 to 100 µs, under Python and a profiler a few hundred: a longer
# gap is something else.
SHORT_NS = 1_000_000
MANY = 10  # fewer short gaps are no habit


def eager_idle(view: DeviceView, step: Int64, gaps: Gaps) -> int:
    """Return the `host` and `launch` idle between kernels of a step launched one by one, in ns.

    That is the idle time of eager execution, not of batching. `step` is the step of each operation,
    -1 where it is not known. Only short gaps count, and only where there are many: a graph would
    not help against a few long ones. What the host launches one by one before a graph that is most
    of the step is preparation, which asynchronous batching hides.
    """
    known = np.flatnonzero((gaps.operation > 0) & (gaps.call >= 0))
    if not known.size:
        return 0
    # The operation that ended each gap, and the last to end before it.
    after = gaps.operation[known]
    before = _last_to_end(view.operations)[after - 1]
    same_step = step[after] == step[before]

    launched_kernel = is_compute(view.operations) & (view.launches >= 0)
    both_kernels = launched_kernel[after] & launched_kernel[before]

    short = gaps.length[known] <= SHORT_NS
    eager = same_step & both_kernels & ~view.in_graph[after] & short
    if np.count_nonzero(eager) >= MANY:
        eager[eager] = ~_prepares_graph(view, step)[after[eager]]
    if np.count_nonzero(eager) < MANY:
        return 0
    late_ns = gaps.host[known] + gaps.launch[known]
    return int(late_ns[eager].sum())


def _prepares_graph(view: DeviceView, step: Int64) -> Bool:
    """Return which operations run before the first graph of a step that is mostly graphs."""
    operations, in_graph = view.operations, view.in_graph
    compute_ns = np.where(is_compute(operations), operations.end - operations.start, 0)
    _, steps = by_value(step)
    of_graphs = steps.only(in_graph)
    mostly_graphs = 2 * of_graphs.total(compute_ns[in_graph]) > steps.total(compute_ns)
    first_graph = of_graphs.first(operations.start[in_graph])
    before_graph = operations.start < first_graph[steps.row]
    return np.asarray(mostly_graphs[steps.row] & before_graph, np.bool_)


def _last_to_end(operations: Operations) -> Int64:
    """Return for each operation, sorted by start, which of those up to it ends last."""
    reach = np.maximum.accumulate(operations.end)
    grows = np.concatenate(([True], reach[1:] > reach[:-1]))
    row = np.arange(reach.size)
    return np.asarray(np.maximum.accumulate(np.where(grows, row, 0)), np.int64)
