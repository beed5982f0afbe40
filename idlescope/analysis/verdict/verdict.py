"""What the figures of one device mean, in a sentence or two.

The verdict is "cannot tell" where the coverage does not carry one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.concentration import Concentration
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.idle.shared_gpu import SharedGpu
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED, SYNCHRONOUS, Batching
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.verdict.coverage import Coverage
from idlescope.analysis.verdict.doubts import Doubts
from idlescope.analysis.verdict.refusal import refusal

BUSY_IDLE_PCT = 2.0  # idle below this is called busy
COPY_BOUND_PCT = 25.0  # of the window in which only copies run
MOSTLY_PCT = 50.0  # of idle that decides between readings


class VerdictKind(str, Enum):
    """What a device's figures mean."""

    SYNCHRONOUS = "synchronous"
    ASYNCHRONOUS = "asynchronous"
    SERIALISED = "serialised"
    LAUNCH_BOUND = "launch-bound"
    COPY_BOUND = "copy-bound"
    HOST_BOUND = "host-bound"
    QUEUE_BOUND = "queue-bound"
    COLD_START = "cold start"
    BUSY = "busy"
    CANNOT_TELL = "cannot tell"

    def __str__(self) -> str:
        return self.value


CANNOT_TELL = VerdictKind.CANNOT_TELL


@dataclass(frozen=True)
class Verdict:
    """What a device's figures mean, and a sentence or two on it."""

    kind: VerdictKind
    text: str


@dataclass(frozen=True)
class Findings:
    """The figures of one device that its verdict is judged by."""

    coverage: Coverage
    occupancy: Occupancy
    gaps: Gaps
    host_ns: dict[str, int]  # `host` idle by what the host did, the largest first
    steps: Steps  # of the engine
    empty: Steps  # that scheduled no token
    spread: Concentration
    shared: SharedGpu | None  # where other processes use the GPU, too
    batching: Batching
    eager_ns: int  # idle of eager execution (`eager_idle`)
    doubts: Doubts
    operations: int


class _Reading(NamedTuple):
    """What most of the idle time is, how much of it, and why."""

    kind: VerdictKind
    share_pct: float
    because: str


READINGS = {
    "host": (VerdictKind.HOST_BOUND, "it ran dry before the host had issued the next work"),
    "launch": (VerdictKind.LAUNCH_BOUND, "it waited for launches to arrive"),
    "queued": (
        VerdictKind.QUEUE_BOUND,
        "the work was issued but waited in a stream, on an event or inside a graph",
    ),
    "unattributed": (
        VerdictKind.CANNOT_TELL,
        "no launch was recorded for the work that ended the gaps",
    ),
}
_EAGER = "kernels launched one by one run out before the host launches the next: "
_EAGER += "a CUDA graph would help"


def judge(findings: Findings) -> Verdict:
    """Return the verdict on one device."""
    occupancy, bounds = findings.occupancy, findings.doubts.bounds
    refused = _refused(findings)
    if refused is not None:
        return Verdict(VerdictKind.CANNOT_TELL, refused)
    idle_pct = percent(occupancy.idle_ns, occupancy.window_ns)
    clocks = findings.doubts.corruption.clock_text
    batching = f" {clocks}" if clocks else _batching_text(findings)
    doubt = _doubt(findings)
    if _copies_most(occupancy):
        copying_pct = percent(occupancy.copy_only_ns, occupancy.window_ns)
        compute_pct = percent(occupancy.compute_ns, occupancy.window_ns)
        text = (
            f"The device spends {copying_pct:.1f} % of the window only copying: it is "
            f"{bounds.text} idle, and computes {compute_pct:.1f} % of the time."
        )
        return Verdict(VerdictKind.COPY_BOUND, f"{text}{doubt}")
    if idle_pct < BUSY_IDLE_PCT:
        text = f"The device is busy: {bounds.text} idle."
        return Verdict(VerdictKind.BUSY, f"{text}{batching}{doubt}")
    cold = findings.doubts.cold_start
    if cold is not None and percent(cold.idle_ns, occupancy.idle_ns) >= MOSTLY_PCT:
        text = (
            f"The device is idle {bounds.text} of the time, "
            f"{percent(cold.idle_ns, occupancy.idle_ns):.0f} % of that in a cold start: "
            f"{cold.text}. What follows is seen with --window {findings.doubts.after_cold_start}."
        )
        return Verdict(VerdictKind.COLD_START, f"{text}{doubt}")
    reading = _read(findings)
    text = (
        f"The device is idle {bounds.text} of the time{_per_step(findings)}, "
        f"{reading.share_pct:.0f} % of that because {reading.because}."
    )
    return Verdict(reading.kind, f"{text}{batching}{doubt}")


def _refused(findings: Findings) -> str | None:
    """Return why no verdict can be given; None where one can."""
    bounds, clocks = findings.doubts.bounds, findings.doubts.corruption.clock_text
    if clocks and bounds.high_pct >= BUSY_IDLE_PCT:
        return (
            f"The device is idle {bounds.text} of the time, but why, and how its steps follow one "
            f"another, cannot be told. {clocks}{bounds.reasons}"
        )
    refused = refusal(findings.coverage, findings.occupancy, findings.operations)
    if refused is not None:
        return refused
    certain_pct = percent(bounds.low_ns, findings.occupancy.idle_ns)
    if bounds.crosses(BUSY_IDLE_PCT) or (bounds.apart and certain_pct < MOSTLY_PCT):
        return f"Idle is {bounds.text} of the time, and that tells nothing.{bounds.reasons}"
    return None


def _doubt(findings: Findings) -> str:
    """Return what of the figures is in doubt, to stand behind other sentences; empty: nothing."""
    coverage = findings.coverage
    lost = coverage.uncertain and not coverage.corrupt_operations
    sentence = " Records were lost, so the figures marked ~ may be off." if lost else ""
    return f"{findings.doubts.bounds.reasons}{sentence}"


def _copies_most(occupancy: Occupancy) -> bool:
    """Return whether copies alone take much of the window, and more than idle."""
    copies_ns = occupancy.copy_only_ns
    much = percent(copies_ns, occupancy.window_ns) >= COPY_BOUND_PCT
    return much and copies_ns >= occupancy.idle_ns


def _read(findings: Findings) -> _Reading:
    """Return what most of the idle time is."""
    idle_ns = findings.occupancy.idle_ns
    totals = findings.gaps.totals()
    cause = max(totals, key=lambda name: totals[name])
    kind, because = READINGS[cause]
    share_pct = percent(totals[cause], idle_ns)
    eager_pct = percent(findings.eager_ns, idle_ns)
    batching = findings.batching.kind
    if eager_pct >= MOSTLY_PCT:
        kind = VerdictKind.LAUNCH_BOUND
        because = _EAGER
        share_pct = eager_pct
    elif batching in (SYNCHRONOUS, ASYNCHRONOUS, SERIALISED):
        kind = VerdictKind(batching)
    if cause == "host" and findings.host_ns:
        largest, largest_ns = next(iter(findings.host_ns.items()))
        largest_pct = percent(largest_ns, totals["host"])
        because += f"; {largest_pct:.0f} % of the host's part is {largest}"
    return _Reading(kind, share_pct, because)


def _per_step(findings: Findings) -> str:
    steps = len(findings.steps)
    return f", {findings.occupancy.idle_ns / steps / 1e6:.2f} ms per step" if steps else ""


def _batching_text(findings: Findings) -> str:
    """Return a sentence on the batching; empty where it is not known."""
    batching, steps = findings.batching, len(findings.steps)
    early = (
        f"{batching.early} of {batching.followers} steps were launched before the step before "
        "them ended"
    )
    if batching.kind == ASYNCHRONOUS:
        mostly_early = batching.early * 2 > batching.followers
        slow = "" if mostly_early else ", since the host needs longer for a step"
        return f" Batching is asynchronous: {early}{slow}."
    if batching.kind == SERIALISED and batching.culprit:
        culprit = batching.culprit.text(steps)
        return f" Batching is asynchronous but serialised by {culprit}; {early}."
    if batching.kind == SYNCHRONOUS:
        return f" Batching is synchronous: {early}."
    return ""
