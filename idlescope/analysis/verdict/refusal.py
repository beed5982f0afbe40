"""Why nothing can be concluded from a trace, and what to capture instead."""

from __future__ import annotations

import re

from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.analysis.verdict.missing import WAKE_UP_NS

MIN_LINKED_PCT = 90.0  # below this share of operations with a known launch no cause is told
# Of idle: the host waiting, for longer than a wake-up, for a device that has nothing to do.
MAX_BLOCKED_PCT = 10.0
MAX_LOST_PCT = 5.0  # of graph launches with no operation under them
MAX_UNSEEN_PCT = 10.0  # of launches of any kind
# What a profiler can lose without a figure depending on it.
LESSER = re.compile(r"NVTX|OS runtime|sampl|context switch|ftrace", re.IGNORECASE)
MAX_MESSAGE = 160  # characters of the profiler's own messages


def refusal(coverage: Coverage, occupancy: Occupancy, operations: int) -> str | None:
    """Return why no verdict can be given, and what to capture instead.

    `operations` is how many the device has. Returns None where the coverage carries a verdict.
    """
    reasons = (
        _incomplete(coverage),
        _graph_capture(coverage, operations),
        _blocked(coverage, occupancy),
        _graphs_without_operations(coverage),
        _unlinked(coverage, operations),
        _lost_launches(coverage),
        _dropped(coverage),
    )
    return next((reason for reason in reasons if reason is not None), None)


def _incomplete(coverage: Coverage) -> str | None:
    if not coverage.truncated:
        return None
    return (
        "The file is incomplete, and nobody knows how much is missing: let the profiler finish "
        "writing before copying the file, or record fewer steps."
    )


def _graph_capture(coverage: Coverage, operations: int) -> str | None:
    captured = coverage.launches_in_capture
    if captured <= max(operations, coverage.launches_without_operations):
        return None
    return (
        f"This is the capture of a CUDA graph, not an execution: {captured:,} launches were "
        f"recorded into a graph, which does not run them, and only {operations:,} operations ran. "
        "Start the profiler after the warm-up, when graphs are replayed."
    )


def _blocked(coverage: Coverage, occupancy: Occupancy) -> str | None:
    blocked_ns = coverage.blocked_in_gaps_ns
    little = 100 * blocked_ns <= MAX_BLOCKED_PCT * occupancy.idle_ns
    if blocked_ns <= WAKE_UP_NS or little:
        return None
    return (
        f"Records are missing: the host waits {blocked_ns / 1e6:,.0f} ms for the device, in calls "
        "that fall into gaps in which nothing ran, so what it waited for was not recorded (or was "
        "of other processes on this GPU). That time is not known to be idle: start the profiler "
        "before the work that it is to see, and do not cut a step out of a longer trace."
    )


def _graphs_without_operations(coverage: Coverage) -> str | None:
    lost, graphs = coverage.graph_launches_without_operations, coverage.graph_launches
    if 100 * lost <= MAX_LOST_PCT * graphs:
        return None
    return (
        f"{lost:,} of {graphs:,} graph launches have no operations under them: the device's "
        "records were dropped. Record fewer steps, or with nsys --cuda-graph-trace=node."
    )


def _unlinked(coverage: Coverage, operations: int) -> str | None:
    in_flight_share = coverage.in_flight_at_start / operations
    if coverage.linked_pct >= MIN_LINKED_PCT * (1 - in_flight_share):
        return None
    return (
        f"Only {coverage.linked_pct:.1f} % of the device's operations have a known launch (at "
        f"least {MIN_LINKED_PCT:.0f} % are needed): start the profiler before the work and record "
        "the runtime's calls (CUDA, HIP)."
    )


def _lost_launches(coverage: Coverage) -> str | None:
    lost, launches = coverage.launches_lost, coverage.launches
    if 100 * lost <= MAX_UNSEEN_PCT * launches:
        return None
    return (
        f"{lost:,} of {launches:,} launches have no operation recorded: the device's records were "
        "dropped, and it was less idle than it looks. Record fewer steps."
    )


def _dropped(coverage: Coverage) -> str | None:
    messages = [message for message in coverage.dropped if not LESSER.search(message)]
    if not messages:
        return None
    return (
        f"The profiler lost records ({'; '.join(messages)[:MAX_MESSAGE]}): record fewer steps, or "
        "fewer kinds of events."
    )
