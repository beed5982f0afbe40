"""What the figures of one device mean, in a sentence or two; "cannot tell" where the coverage does not carry one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import Occupancy, is_compute
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED, SYNCHRONOUS, Batching
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.verdict import coverage as coverage_of
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import Operations
from idlescope.trace.names.calls import GRAPH_LAUNCH, matching
from idlescope.trace.table import Int64

BUSY_IDLE_PCT = 2.0  # idle below this is called busy
COPY_BOUND_PCT = 25.0  # of the window in which only copies run
MOSTLY_PCT = 50.0  # of idle that decides between readings
CANNOT_TELL = "cannot tell"

READINGS = {
    "host": ("host-bound", "it ran dry before the host had issued the next work"),
    "launch": ("launch-bound", "it waited for launches to arrive"),
    "queued": (
        "queue-bound",
        "the work was issued but waited in a stream, on an event or inside a graph",
    ),
    "unattributed": (CANNOT_TELL, "no launch was recorded for the work that ended the gaps"),
}


@dataclass(frozen=True)
class Verdict:
    """What the figures mean."""

    # "synchronous", "asynchronous", "serialised", "launch-bound", "copy-bound", "busy", "host-bound", "queue-bound",
    # "cannot tell"
    kind: str
    text: str


def judge(
    coverage: Coverage, occupancy: Occupancy, gaps: Gaps, host_ns: dict[str, int], steps: Steps, batching: Batching,
    eager_ns: int, operations: int,
) -> Verdict:  # fmt: skip
    """Return the verdict on one device; `eager_ns` is its `eager_idle`."""
    refused = coverage_of.refusal(coverage, occupancy, operations)
    if refused is not None:
        return Verdict(CANNOT_TELL, refused)
    doubt = " Records were lost, so the figures marked ~ may be off." if coverage.uncertain else ""
    window, idle = occupancy.window_ns, occupancy.idle_ns
    idle_pct = percent(idle, window)
    if percent(occupancy.copy_only_ns, window) >= COPY_BOUND_PCT and occupancy.copy_only_ns >= idle:
        return Verdict(
            "copy-bound",
            f"The device spends {percent(occupancy.copy_only_ns, window):.1f} % of the window only copying: it is "
            f"{idle_pct:.2f} % idle, and computes {percent(occupancy.compute_ns, window):.1f} % of the time.{doubt}",
        )
    batch = _batching(batching, len(steps))
    if idle_pct < BUSY_IDLE_PCT:
        return Verdict("busy", f"The device is busy: {idle_pct:.2f} % idle.{batch}{doubt}")
    totals = gaps.totals()
    cause = max(totals, key=lambda name: totals[name])
    kind, reading = READINGS[cause]
    if percent(eager_ns, idle) >= MOSTLY_PCT:
        kind = "launch-bound"
        reading = "kernels launched one by one run out before the host launches the next: a CUDA graph would help"
        share = percent(eager_ns, idle)
    else:
        share = percent(totals[cause], idle)
        if batching.kind in (SYNCHRONOUS, ASYNCHRONOUS, SERIALISED):
            kind = batching.kind
    largest = ""
    if cause == "host" and host_ns:
        name, ns = next(iter(host_ns.items()))
        largest = f"; {percent(ns, totals['host']):.0f} % of the host's part is {name}"
    per_step = f", {idle / len(steps) / 1e6:.2f} ms a step" if len(steps) else ""
    return Verdict(
        kind,
        f"The device is idle {idle_pct:.2f} % of the time{per_step}, {share:.0f} % of that because {reading}"
        f"{largest}.{batch}{doubt}",
    )


def _batching(batching: Batching, steps: int) -> str:
    """Return a sentence on the batching; empty where it is not known."""
    early = f"{batching.early} of {batching.followers} steps were launched before the step before them ended"
    if batching.kind == ASYNCHRONOUS:
        slow = (
            ""
            if batching.early * 2 > batching.followers
            else ", since the host needs longer for a step"
        )
        return f" Batching is asynchronous: {early}{slow}."
    if batching.kind == SERIALISED and batching.culprit:
        return (
            f" Batching is asynchronous but serialised by {batching.culprit.text(steps)}; {early}."
        )
    if batching.kind == SYNCHRONOUS:
        return f" Batching is synchronous: {early}."
    return ""


def eager_idle(view: DeviceView, step: Int64, gaps: Gaps) -> int:
    """Return the `host` and `launch` idle between kernels of one step that were launched one by one, in ns.

    That is the idle time of eager execution, not of batching; `step` is the step of each operation, -1 where not known.
    """
    trace, operations, launches = view.trace, view.operations, view.launches
    after = gaps.operation
    rows = np.flatnonzero((after > 0) & (gaps.call >= 0))
    after = after[rows]
    compute = is_compute(operations) & (launches >= 0)
    graph = (
        matching(GRAPH_LAUNCH, trace.names)[trace.calls.name[gaps.call[rows]]]
        if rows.size
        else rows.astype(bool)
    )
    before = _last_to_end(operations)[after - 1]
    inside = compute[after] & compute[before] & ~graph & (step[after] == step[before])
    return int((gaps.host[rows] + gaps.launch[rows])[inside].sum())


def _last_to_end(operations: Operations) -> Int64:
    """Return for each operation, sorted by start, which of those up to it ends last."""
    reach = np.maximum.accumulate(operations.end)
    new = np.concatenate(([True], reach[1:] > reach[:-1]))
    return np.asarray(np.maximum.accumulate(np.where(new, np.arange(reach.size), 0)), np.int64)
