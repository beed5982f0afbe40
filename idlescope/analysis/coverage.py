"""How much of what happened the trace holds, and what may be concluded from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from idlescope.analysis.causes import Gaps
from idlescope.analysis.idle import Occupancy
from idlescope.trace.model import Int64, Operations, Trace

MIN_LINKED_PCT = 90.0  # below this share of operations with a known launch the causes are not told
BUSY_IDLE_PCT = 2.0  # idle below this is called busy


@dataclass(frozen=True)
class Coverage:
    """What is missing from one device's records."""

    linked_pct: float  # operations with a known launch call
    graph_launches_without_operations: int
    operations_before_launch: int  # started before their launch call did: dropped or corrupted records
    zero_duration_operations: int

    def to_json(self) -> dict[str, float | int]:
        """Return the figures as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """What the figures mean, in one sentence."""

    kind: str  # "busy", "host-bound", "launch-bound", "queue-bound" or "cannot tell"
    text: str


def measure(trace: Trace, operations: Operations, launches: Int64) -> Coverage:
    """Return the coverage of one device's operations; `launches` is their `link`."""
    linked = launches >= 0
    is_graph = np.array(["GraphLaunch" in name for name in trace.names], np.bool_)
    launched = is_graph[trace.calls.name] if len(trace.calls) else np.empty(0, np.bool_)
    with_operations = np.isin(trace.calls.correlation, trace.operations.correlation)
    early = operations.start[linked] < trace.calls.start[launches[linked]]
    return Coverage(
        linked_pct=100.0 * float(linked.mean()),
        graph_launches_without_operations=int((launched & ~with_operations).sum()),
        operations_before_launch=int(early.sum()),
        zero_duration_operations=int((operations.end <= operations.start).sum()),
    )


def judge(coverage: Coverage, occupancy: Occupancy, gaps: Gaps) -> Verdict:
    """Return the verdict on one device, "cannot tell" where the coverage does not carry one."""
    if coverage.linked_pct < MIN_LINKED_PCT:
        return Verdict(
            "cannot tell",
            f"Only {coverage.linked_pct:.1f} % of the device's operations have a known launch (at least "
            f"{MIN_LINKED_PCT:.0f} % are needed): start the profiler before the work and record the CUDA API calls.",
        )
    if coverage.graph_launches_without_operations:
        return Verdict(
            "cannot tell",
            f"{coverage.graph_launches_without_operations} graph launches have no operations under them: the device's "
            "records were dropped; record fewer steps.",
        )
    idle_pct = 100.0 * occupancy.idle_ns / occupancy.window_ns if occupancy.window_ns else 0.0
    if idle_pct < BUSY_IDLE_PCT:
        return Verdict("busy", f"The device is busy: {idle_pct:.2f} % idle.")
    totals = gaps.totals()
    cause = max(totals, key=lambda name: totals[name])
    share = 100.0 * totals[cause] / occupancy.idle_ns
    kind, reading = {
        "host": ("host-bound", "it ran dry before the host had issued the next work"),
        "launch": ("launch-bound", "it waited for launches to arrive"),
        "queued": ("queue-bound", "the work was issued but waited in a stream, on an event or inside a graph"),
        "unattributed": ("cannot tell", "no launch was recorded for the work that ended the gaps"),
    }[cause]
    return Verdict(kind, f"The device is idle {idle_pct:.2f} % of the time, {share:.0f} % of that because {reading}.")
