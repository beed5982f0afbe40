"""Signs in a trace that the device did more, or less, than its records show."""

from __future__ import annotations

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.intervals import BEFORE_EVERYTHING, Intervals
from idlescope.analysis.verdict.launch_calls import LaunchCalls
from idlescope.analysis.view import DeviceView
from idlescope.trace.names.calls import FREEING, matching
from idlescope.trace.table import Bool

# A wait ends up to this much after the device did: wake-up from a blocking event took 0.26 to 0.42
# ms more than spinning on the lent H200 (tests/gpu/latencies.py), and a profiler adds to it.
WAKE_UP_NS = 1_000_000


def blocked_in_gaps_ns(view: DeviceView, launches: LaunchCalls, gaps: Gaps) -> int:
    """Return how long calls waited while no device of the process ran anything, less wake-ups.

    A call that itself launched what ended the gap, such as a blocking copy, waits for that. A wait
    can be for another device of the process, so only time counts when all of them are idle. Calls
    that cannot wait for anything (`_own_time`) take the host's own time.
    """
    trace = view.trace
    waits = trace.calls.take(view.waits & ~_own_time(view, launches))
    waiting = intervals.union(waits.start, waits.end)
    idle = Intervals(gaps.start, gaps.end)
    in_gaps = intervals.overlaps(idle, waiting).intervals
    unexplained = intervals.subtract(in_gaps, _own_waits(view, gaps))

    # Other devices of the process may have run meanwhile.
    own_operation = trace.operations_of(view.process)
    operations = trace.operations.take(own_operation)
    running = intervals.union(operations.start, operations.end)
    while_running = intervals.overlaps(unexplained, running).intervals
    quiet = intervals.subtract(unexplained, while_running)
    blocked = np.clip(quiet.length - WAKE_UP_NS, 0, None)
    return int(blocked.sum())


def _own_time(view: DeviceView, launches: LaunchCalls) -> Bool:
    """Return which calls give memory back while nothing unrecorded can be on the device.

    Something can, where a launch without a record was made since the process last waited, or where
    work runs whose launch is not known. There is one entry per call.
    """
    trace, calls = view.trace, view.trace.calls
    freeing = view.waits & matching(FREEING, trace.names)[calls.name]
    frees = np.flatnonzero(freeing)
    if not frees.size:
        return freeing
    free_start = calls.start[frees]
    unrecorded = np.append(BEFORE_EVERYTHING, np.sort(calls.start[launches.without_record]))
    last_unrecorded = unrecorded[np.searchsorted(unrecorded, free_start) - 1]
    wait_ends = np.append(BEFORE_EVERYTHING, np.sort(calls.end[view.waits]))
    last_wait = wait_ends[np.searchsorted(wait_ends, free_start, "right") - 1]
    nothing_launched = (last_unrecorded < last_wait) | (
        last_unrecorded == BEFORE_EVERYTHING
    )

    unlinked = view.operations.end[view.launches < 0]
    freeing[frees] = nothing_launched & (
        free_start >= unlinked.max(initial=BEFORE_EVERYTHING)
    )
    return freeing


def _own_waits(view: DeviceView, gaps: Gaps) -> Intervals:
    """Return when, within gaps, a call waits for what it launched itself."""
    calls = view.trace.calls
    launched_by = np.flatnonzero(gaps.call >= 0)
    launched_by = launched_by[view.waits[gaps.call[launched_by]]]
    call = gaps.call[launched_by]
    start = np.maximum(gaps.start[launched_by], calls.start[call])
    end = np.minimum(gaps.end[launched_by], calls.end[call])
    return intervals.union(start, end)
