"""When CPU and GPU were busy, together or alone, and how idle time was spread over the run."""

from __future__ import annotations

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.intervals import Intervals
from idlescope.trace.model import Operations, RangeKind, Trace
from idlescope.trace.names.calls import synchronising
from idlescope.trace.table import Bool, Float64, Int64

STATES = ("both busy", "device only", "host only", "neither")


def host_busy(trace: Trace, gaps: Gaps) -> Intervals:
    """Return when a launching thread worked: its ranges and calls, less its waits for the device.

    Launching threads are those whose calls ended a gap; where none is known, all threads count.
    """
    launching = _launching_threads(trace, gaps)
    calls = trace.calls.take(launching[trace.calls.thread])
    ranges = trace.ranges.take(launching[trace.ranges.thread])
    ranges = ranges.take(ranges.kind != RangeKind.NO_DEMAND)
    busy = intervals.union(
        np.concatenate((ranges.start, calls.start)),
        np.concatenate((ranges.end, calls.end)),
    )
    if not len(calls):
        return busy
    waits = calls.take(synchronising(trace.names)[calls.name])
    return intervals.subtract(busy, intervals.union(waits.start, waits.end))


def _launching_threads(trace: Trace, gaps: Gaps) -> Bool:
    """Return for each thread whether one of its calls ended a gap; all where no call is known."""
    calls = gaps.call[gaps.call >= 0]
    launching = np.full(len(trace.threads), not calls.size, np.bool_)
    launching[trace.calls.thread[calls]] = True
    return launching


def device_busy(operations: Operations) -> Intervals:
    """Return when any operation of a device ran."""
    return intervals.union(operations.start, operations.end)


def states(host: Intervals, device: Intervals, low: int, high: int) -> dict[str, Intervals]:
    """Divide [low, high) among the `STATES` of host and device; their measures add up to it."""
    window = Intervals(np.array([low]), np.array([high]))
    host = intervals.clip(host, low, high)
    device = intervals.clip(device, low, high)
    either = intervals.union(
        np.concatenate((host.start, device.start)),
        np.concatenate((host.end, device.end)),
    )
    return {
        "both busy": intervals.overlaps(host, device).intervals,
        "device only": intervals.subtract(device, host),
        "host only": intervals.subtract(host, device),
        "neither": intervals.subtract(window, either),
    }


def idle_over_time(occupancy: Occupancy, bins: int) -> tuple[Int64, Float64]:
    """Return the edges of equal parts of the window, ns, and the share of each that was idle, %."""
    edges = np.linspace(*occupancy.window, bins + 1).astype(np.int64)
    return edges, idle_between(occupancy, edges)


def idle_between(occupancy: Occupancy, edges: Int64) -> Float64:
    """Return the share of idle time, %, between consecutive edges (ns, within the window)."""
    idle_ns = np.diff(intervals.covered_before(occupancy.gaps, edges))
    length_ns = np.maximum(np.diff(edges), 1)
    return np.asarray(100.0 * idle_ns / length_ns, np.float64)


def gap_histogram(gaps: Gaps, edges: Float64) -> tuple[Int64, Int64]:
    """Return how many gaps are as long as between consecutive edges (ns), and their sum in ns."""
    counts, _ = np.histogram(gaps.length, edges)
    total_ns, _ = np.histogram(gaps.length, edges, weights=gaps.length.astype(np.float64))
    return counts.astype(np.int64), total_ns.astype(np.int64)


def typical_moment(operations: Operations, occupancy: Occupancy, span: int) -> int:
    """Return the start of an operation, ns, such that `span` ns from it are about mid-window."""
    low, high = occupancy.window
    wanted = max(low, (low + high - span) // 2)
    row = int(np.searchsorted(operations.start, wanted))
    return int(operations.start[min(row, len(operations) - 1)])
