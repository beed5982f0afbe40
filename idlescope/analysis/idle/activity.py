"""When the CPU and the GPU were busy, together or alone, and how idle time was spread over the run."""

from __future__ import annotations

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.intervals import Intervals
from idlescope.trace.model import Operations, RangeKind, Trace
from idlescope.trace.names.calls import synchronising
from idlescope.trace.table import Float64, Int64

STATES = ("both busy", "device only", "host only", "neither")


def host_busy(trace: Trace, gaps: Gaps) -> Intervals:
    """Return when a launching thread worked: its ranges and calls, less those in which it waits for the device.

    Launching threads are those whose calls ended a gap; where none is known, all threads count.
    """
    ranges, calls = trace.ranges, trace.calls
    known = gaps.call[gaps.call >= 0]
    threads = np.unique(calls.thread[known]) if known.size else np.arange(len(trace.threads))
    working = np.isin(ranges.thread, threads) & (ranges.kind != RangeKind.NO_DEMAND)
    calling = np.isin(calls.thread, threads)
    waiting = calling & synchronising(trace.names)[calls.name] if len(calls) else calling
    busy = intervals.union(
        np.concatenate((ranges.start[working], calls.start[calling])),
        np.concatenate((ranges.end[working], calls.end[calling])),
    )
    return intervals.subtract(busy, intervals.union(calls.start[waiting], calls.end[waiting]))


def device_busy(operations: Operations) -> Intervals:
    """Return when any operation of a device ran."""
    return intervals.union(operations.start, operations.end)


def states(host: Intervals, device: Intervals, low: int, high: int) -> dict[str, Intervals]:
    """Divide [low, high) among the four states of host and device; the measures add up to its length."""
    window = Intervals(np.array([low]), np.array([high]))
    host, device = intervals.clip(host, low, high), intervals.clip(device, low, high)
    shared = intervals.overlaps(host, device)
    either = intervals.union(
        np.concatenate((host.start, device.start)), np.concatenate((host.end, device.end))
    )
    return {
        "both busy": shared.intervals,
        "device only": intervals.subtract(device, host),
        "host only": intervals.subtract(host, device),
        "neither": intervals.subtract(window, either),
    }


def idle_over_time(occupancy: Occupancy, bins: int) -> tuple[Int64, Float64]:
    """Return the edges of equal parts of the window, ns, and the share of each that was idle, %."""
    edges = np.linspace(*occupancy.window, bins + 1).astype(np.int64)
    return edges, idle_between(occupancy, edges)


def idle_between(occupancy: Occupancy, edges: Int64) -> Float64:
    """Return the share of idle time between consecutive edges (ns, ascending, within the window), %."""
    before = intervals.covered_before(occupancy.gaps, edges)
    length = np.maximum(np.diff(edges), 1)
    return np.asarray(100.0 * np.diff(before) / length, np.float64)


def gap_histogram(gaps: Gaps, edges: Float64) -> tuple[Int64, Int64]:
    """Return how many gaps lie between consecutive edges (ns, ascending), and their summed length in ns."""
    counts, _ = np.histogram(gaps.length, edges)
    lengths, _ = np.histogram(gaps.length, edges, weights=gaps.length.astype(np.float64))
    return counts.astype(np.int64), lengths.astype(np.int64)


def typical_moment(operations: Operations, occupancy: Occupancy, span: int) -> int:
    """Return the start of an operation from which a span of time lies about the middle of the window, in ns."""
    low, high = occupancy.window
    at = np.searchsorted(operations.start, max(low, (low + high - span) // 2))
    return int(operations.start[min(int(at), len(operations) - 1)])
