"""How much of what happened a trace holds of one device."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct, structs

from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.verdict.begun_before import begun_before
from idlescope.analysis.verdict.doubts import Doubts
from idlescope.analysis.verdict.launch_calls import LaunchCalls
from idlescope.analysis.verdict.missing import blocked_in_gaps_ns
from idlescope.analysis.view import DeviceView
from idlescope.trace.damage import OPERATION_FIGURES, uncertain
from idlescope.trace.model import OperationKind
from idlescope.trace.names.migrations import migrations

# Work that can be on the device when an asynchronous loop's recording begins, in steps.
IN_FLIGHT_STEPS = 1.25
# Steps that were launched and not yet begun when an asynchronous loop's recording ended.
MOST_IN_FLIGHT = 2
ENOUGH_STEPS = 4  # to tell what a usual one is
CLIPPED = (
    0.5  # a first or last step with less than this share of the usual operations is cut off
)


class Coverage(Struct, frozen=True):
    """What is missing from one device's records."""

    linked_pct: float  # operations with a known launch call
    launched_before_recording: (
        int  # operations without one, before any with one in their stream
    )
    in_flight_at_start: int  # the same, where they are no more than a step's work
    operations_before_launch: int  # started before their launch call did: corrupted records
    zero_duration_operations: int
    graph_mode: (
        str  # "none", "node-level" (each kernel) or "graph-level" (one record per launch)
    )
    graph_launches: int
    graph_launches_without_operations: int
    launches_without_operations: int  # calls that launch something of which no record came
    launches_in_capture: (
        int  # others, made while a CUDA graph was captured: they do not run
    )
    launches: int  # calls that launch anything that runs
    launches_lost: int  # of those without a record, of a kind that was recorded later
    blocked_in_gaps_ns: int  # the host waited while nothing ran, wake-up not counted
    steps_without_operations: int
    first_step_clipped: bool
    last_step_clipped: bool
    dropped: tuple[str, ...]  # what the profiler said that it lost
    uncertain: tuple[str, ...]  # figures that records lost from a damaged file could change
    truncated: bool  # the file ends early
    corrupt_operations: int  # that cannot have lasted as long as recorded
    clock_ns: (
        int  # how far the device's clock is ahead of the host's, at least; < 0: behind
    )
    idle_low_ns: int  # idle, if all ran that was launched and not recorded
    idle_high_ns: int  # idle, if what cannot have lasted so long had not run

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        figures = structs.asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in figures.items()
        }


def measure(
    view: DeviceView, launches: LaunchCalls, gaps: Gaps, steps: Steps, doubts: Doubts
) -> Coverage:
    """Return the coverage of one device; there must be at least one operation.

    `view` and `launches` are those of the window.
    """
    trace, operations = view.trace, view.operations
    calls = trace.calls
    linked = view.launches >= 0
    launch_call = view.launches[linked]
    early = operations.start[linked] < calls.start[launch_call]
    empty = operations.end <= operations.start

    without = launches.without_record
    last_with_record = calls.start[launches.launching & launches.ran].max(initial=0)
    lost = calls.start[without & launches.kind_recorded] < last_with_record

    launched_before = int(begun_before(view).sum())
    usual_operations = _usual_operations(steps)
    in_flight = launched_before <= IN_FLIGHT_STEPS * usual_operations
    first_clipped, last_clipped = _clipped(steps)
    corrupt = doubts.corruption.rows.size
    return Coverage(
        linked_pct=_linked_pct(view),
        launched_before_recording=launched_before,
        in_flight_at_start=launched_before if in_flight else 0,
        operations_before_launch=int(early.sum()),
        zero_duration_operations=int(empty.sum()),
        graph_mode=_graph_mode(view, launches),
        graph_launches=int(launches.graph.sum()),
        graph_launches_without_operations=_graphs_lost(view, launches, len(steps)),
        launches_without_operations=int(without.sum()),
        launches_in_capture=int(launches.captured.sum()),
        launches=int(launches.launching.sum()),
        launches_lost=int(lost.sum()),
        blocked_in_gaps_ns=blocked_in_gaps_ns(view, launches, gaps),
        steps_without_operations=int((steps.operations == 0).sum()),
        first_step_clipped=first_clipped,
        last_step_clipped=last_clipped,
        dropped=trace.meta.dropped,
        uncertain=OPERATION_FIGURES if corrupt else uncertain(trace.meta),
        truncated=trace.meta.truncated,
        corrupt_operations=corrupt,
        clock_ns=doubts.corruption.clock_ns,
        idle_low_ns=doubts.bounds.low_ns,
        idle_high_ns=doubts.bounds.high_ns,
    )


def _graphs_lost(view: DeviceView, launches: LaunchCalls, steps: int) -> int:
    """Return how many graph launches have no operations under them.

    Those that were launched last of all may still have waited to run when the recording ended.
    """
    starts = view.trace.calls.start
    lost = launches.graph & ~launches.ran
    last_with_record = starts[launches.launching & launches.ran].max(initial=0)
    in_flight = int(np.count_nonzero(lost & (starts > last_with_record)))
    graphs_per_step = np.count_nonzero(launches.graph) / max(steps, 1)
    if in_flight > MOST_IN_FLIGHT * max(graphs_per_step, 1):
        in_flight = 0
    return int(np.count_nonzero(lost)) - in_flight


def _linked_pct(view: DeviceView) -> float:
    """Return the share of operations with a known launch, of those that anyone launched."""
    linked = view.launches >= 0
    launched = linked | ~migrations(view.operations, view.trace.names)
    return 100.0 * float(linked[launched].mean()) if launched.any() else 100.0


def _graph_mode(view: DeviceView, launches: LaunchCalls) -> str:
    if (view.operations.kind == OperationKind.GRAPH).any():
        return "graph-level"
    launch_call = view.launches[view.launches >= 0]
    return "node-level" if launches.graph[launch_call].any() else "none"


def _clipped(steps: Steps) -> tuple[bool, bool]:
    """Return whether the first and the last step hold far fewer operations than the others do.

    An eager prefill has hundreds of times those of a decode: each is compared with its own kind.
    """
    if len(steps) < ENOUGH_STEPS:
        return False, False
    first = steps.operations[0] < CLIPPED * _usual_of_kind(steps, int(steps.kind[0]))
    last = steps.operations[-1] < CLIPPED * _usual_of_kind(steps, int(steps.kind[-1]))
    return bool(first), bool(last)


def _usual_of_kind(steps: Steps, kind: int) -> float:
    """Return how many operations a step of a kind usually has; 0 where there are no others."""
    others = steps.operations[1:-1][steps.kind[1:-1] == kind]
    return float(np.median(others)) if others.size else 0.0


def _usual_operations(steps: Steps) -> float:
    """Return how many operations a step usually has; 0 where there are too few steps to tell."""
    return float(np.median(steps.operations[1:-1])) if len(steps) >= ENOUGH_STEPS else 0.0
