"""How much of what happened the trace holds, and the reasons for which nothing can be concluded from it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.view import DeviceView
from idlescope.trace.damage import uncertain
from idlescope.trace.model import OperationKind, Operations, Trace
from idlescope.trace.names.calls import CAPTURE, GRAPH_LAUNCH, LAUNCH, matching
from idlescope.trace.table import Bool

MIN_LINKED_PCT = 90.0  # below this share of operations with a known launch the causes are not told
# A wait ends up to this much after the device did: wake-up from a blocking event took 0.26 to 0.42 ms more than
# spinning on the lent H200 (tests/gpu/latencies.py), and a profiler adds to it.
WAKE_UP_NS = 1_000_000
MAX_BLOCKED_PCT = 10.0  # of idle: the host waiting, for longer than a wake-up, for a device that has nothing to do
MAX_LOST_PCT = 5.0  # of launches with no operation under them
IN_FLIGHT_STEPS = (
    1.25  # of work that can be on the device when an asynchronous loop's recording begins
)
ENOUGH_STEPS = 4  # to tell what a usual one is
LESSER = re.compile(
    r"NVTX|OS runtime|sampl|context switch|ftrace", re.IGNORECASE
)  # no figure depends on these
MAX_UNSEEN_PCT = 10.0  # of launches of any kind
CLIPPED = 0.5  # a first or last step with less than this share of the usual operations is cut off


@dataclass(frozen=True)
class Coverage:
    """What is missing from one device's records."""

    linked_pct: float  # operations with a known launch call
    launched_before_recording: (
        int  # operations without one that come before any with one in their stream
    )
    in_flight_at_start: (
        int  # the same where they are no more than a step: asynchronous work that began before
    )
    operations_before_launch: (
        int  # started before their launch call did: dropped or corrupted records
    )
    zero_duration_operations: int
    graph_mode: str  # "none", "node-level" (each kernel) or "graph-level" (one record a launch)
    graph_launches: int
    graph_launches_without_operations: int
    launches_without_operations: (
        int  # calls that launch a kernel, copy or memset of which no record came
    )
    launches_in_capture: int  # of those, made while a CUDA graph was captured: they do not run
    launches: int  # calls that launch anything
    launches_lost: int  # of those without a record, made before the last one with a record: the others may not have run
    blocked_in_gaps_ns: int  # the host waited for the device while nothing ran, wake-up not counted
    steps_without_operations: int
    first_step_clipped: bool
    last_step_clipped: bool
    dropped: tuple[str, ...]  # what the profiler said that it lost
    uncertain: tuple[str, ...]  # figures that records lost from a damaged file could change
    truncated: bool  # the file ends early

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def measure(view: DeviceView, gaps: Gaps, steps: Steps) -> Coverage:
    """Return the coverage of one device."""
    trace, process, operations, launches = view.trace, view.process, view.operations, view.launches
    calls, names = trace.calls, trace.names
    linked = launches >= 0
    mine = trace.calls_of(process)
    graph = matching(GRAPH_LAUNCH, names)[calls.name] & mine
    launch = matching(LAUNCH, names)[calls.name] & mine & (calls.correlation != 0)
    ours = trace.operations_of(process)
    ran = np.isin(calls.correlation, trace.operations.correlation[ours])  # ids are a process's own
    early = operations.start[linked] < calls.start[launches[linked]]
    levels = operations.kind == OperationKind.GRAPH
    under = graph[launches[linked]].any()
    clipped = _clipped(steps)
    before = _before_recording(operations, linked)
    return Coverage(
        linked_pct=100.0 * float(linked.mean()),
        launched_before_recording=before,
        in_flight_at_start=before if before <= IN_FLIGHT_STEPS * _usual(steps) else 0,
        operations_before_launch=int(early.sum()),
        zero_duration_operations=int((operations.end <= operations.start).sum()),
        graph_mode="graph-level" if levels.any() else "node-level" if under else "none",
        graph_launches=int(graph.sum()),
        graph_launches_without_operations=int((graph & ~ran).sum()),
        launches_without_operations=int((launch & ~ran).sum()),
        launches_in_capture=_captured(trace, launch & ~ran),
        launches=int(launch.sum()),
        launches_lost=int(
            (calls.start[launch & ~ran] < calls.start[launch & ran].max(initial=0)).sum()
        ),
        blocked_in_gaps_ns=_blocked(trace, ours, view.waits, gaps),
        steps_without_operations=int((steps.operations == 0).sum()),
        first_step_clipped=clipped[0],
        last_step_clipped=clipped[1],
        dropped=trace.meta.dropped,
        uncertain=uncertain(trace.meta),
        truncated=trace.meta.truncated,
    )


def _before_recording(operations: Operations, linked: Bool) -> int:
    """Return how many operations were launched before the recording began.

    A stream runs its work in the order of launches: what comes before the first operation with a recorded launch was
    launched before it.
    """
    if not linked.any():
        return 0
    first = np.full(int(operations.stream.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, operations.stream[linked], operations.start[linked])
    # a stream without any recorded launch tells nothing
    known = first[operations.stream] < np.iinfo(np.int64).max
    return int((~linked & known & (operations.start < first[operations.stream])).sum())


def _clipped(steps: Steps) -> tuple[bool, bool]:
    """Return whether the first and the last step hold far fewer operations than the others do."""
    least = CLIPPED * _usual(steps)
    return bool(least and steps.operations[0] < least), bool(least and steps.operations[-1] < least)


def _usual(steps: Steps) -> float:
    """Return how many operations a step has as a rule; 0 where there are too few steps to tell."""
    return float(np.median(steps.operations[1:-1])) if len(steps) >= ENOUGH_STEPS else 0.0


def _captured(trace: Trace, launch: Bool) -> int:
    """Return how many of some launches were made between the begin and the end of a stream's capture."""
    calls = trace.calls
    if not launch.any():
        return 0
    name = np.array([(m[1] if (m := CAPTURE.search(n)) else "") for n in trace.names])
    begins = np.sort(calls.start[(name == "StreamBeginCapture")[calls.name]])
    ends = np.sort(calls.start[(name == "StreamEndCapture")[calls.name]])
    if not begins.size and not ends.size:
        return 0
    begins = begins if begins.size else np.array([calls.start.min()])
    ends = ends if ends.size else np.array([calls.end.max()])
    at = np.searchsorted(begins, calls.start[launch], "right") - 1
    end = ends[np.minimum(np.searchsorted(ends, begins[np.maximum(at, 0)]), ends.size - 1)]
    return int(((at >= 0) & (calls.start[launch] <= end)).sum())


def _blocked(trace: Trace, ours: Bool, waits: Bool, gaps: Gaps) -> int:
    """Return how long calls of the process waited while none of its devices ran anything, less wake-ups.

    A call that itself launched what ended the gap, such as a blocking copy, waits for that.
    """
    calls, operations = trace.calls, trace.operations.take(ours)
    idle = Intervals(gaps.start, gaps.end)
    waiting = intervals.overlaps(idle, intervals.union(calls.start[waits], calls.end[waits]))
    ended = gaps.call >= 0
    ended[ended] = waits[gaps.call[ended]]
    own = intervals.union(
        np.maximum(gaps.start[ended], calls.start[gaps.call[ended]]),
        np.minimum(gaps.end[ended], calls.end[gaps.call[ended]]),
    )
    missing = intervals.subtract(waiting.intervals, own)
    # a wait can be for another device of the process, so only time counts when all of them are idle
    busy = intervals.overlaps(missing, intervals.union(operations.start, operations.end))
    quiet = intervals.subtract(missing, busy.intervals)
    return int(np.clip(quiet.length - WAKE_UP_NS, 0, None).sum())


def refusal(coverage: Coverage, occupancy: Occupancy, operations: int) -> str | None:
    """Return why no verdict can be given, and what to capture instead; None where the coverage carries one."""
    c = coverage
    blocked = c.blocked_in_gaps_ns
    of_the_device = [said for said in c.dropped if not LESSER.search(said)]
    reasons = (
        (
            c.truncated,
            "The file is incomplete, and nobody knows how much is missing: let the profiler finish writing before "
            "copying the file, or record fewer steps.",
        ),
        (
            c.launches_in_capture > max(operations, c.launches_without_operations / 2),
            f"This is the capture of a CUDA graph, not an execution: {c.launches_in_capture:,} launches were recorded "
            f"into a graph, which does not run them, and only {operations:,} operations ran. Start the profiler after "
            "the warm-up, when graphs are replayed.",
        ),
        (
            blocked > WAKE_UP_NS and 100 * blocked > MAX_BLOCKED_PCT * occupancy.idle_ns,
            f"Records are missing: the host waits {blocked / 1e6:,.0f} ms for the device, in calls that fall into gaps "
            "in which nothing ran, so what it waited for was not recorded. That time is not known to be idle: start "
            "the profiler before the work that it is to see, and do not cut a step out of a longer trace.",
        ),
        (
            100 * c.graph_launches_without_operations > MAX_LOST_PCT * c.graph_launches,
            f"{c.graph_launches_without_operations:,} of {c.graph_launches:,} graph launches have no operations under "
            "them: the device's records were dropped. Record fewer steps, or with nsys --cuda-graph-trace=node.",
        ),
        (
            c.linked_pct < MIN_LINKED_PCT * (1 - c.in_flight_at_start / operations),
            f"Only {c.linked_pct:.1f} % of the device's operations have a known launch (at least "
            f"{MIN_LINKED_PCT:.0f} % are needed): start the profiler before the work and record the CUDA API calls.",
        ),
        (
            100 * c.launches_lost > MAX_UNSEEN_PCT * c.launches,
            f"{c.launches_lost:,} of {c.launches:,} launches have no operation recorded: the device's records were "
            "dropped, and it was less idle than it looks. Record fewer steps.",
        ),
        (
            bool(of_the_device),
            f"The profiler lost records ({'; '.join(of_the_device)[:160]}): record fewer steps, or fewer kinds of "
            "events.",
        ),
    )
    return next((reason for applies, reason in reasons if applies), None)
