"""A verdict in a few words: the main cause of idle time, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from idlescope.analysis.idle.concentration import Spread
from idlescope.analysis.idle.demand import causes_apart
from idlescope.analysis.idle.host_labels import (
    CALL_PREFIX,
    NO_DEMAND,
    RANGE_PREFIX,
    largest_part,
)
from idlescope.analysis.intervals import percent
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.verdict.findings import VerdictKind
from idlescope.analysis.verdict.remedy import SWITCH


class MainCause(NamedTuple):
    """The cause of most idle time; of the host's, what it was in for the largest part."""

    name: str
    pct_of_idle: float
    part: str = ""
    part_pct_of_idle: float = 0.0

    @property
    def part_has_most(self) -> bool:
        """Return whether most of it is that part."""
        return self.part != "" and 2 * self.part_pct_of_idle > self.pct_of_idle


class Action(NamedTuple):
    """What to do, and how or why."""

    what: str
    how: str = ""


# What to do where the kind of the verdict alone says it.
_ACTIONS = {
    VerdictKind.SERIALISED: Action("remove the wait"),
    VerdictKind.ASYNCHRONOUS: Action(
        "look at the longest gaps", "batching is not the cause"
    ),
    VerdictKind.HOST_LIMITED: Action("shorten the host's work", "it is the slower side"),
    VerdictKind.HOST_BOUND: Action("shorten the host's work"),
    VerdictKind.HOST_EXPOSED: Action(
        "hide the host's work", "it is shorter than the device's"
    ),
    VerdictKind.LAUNCH_BOUND: Action("use CUDA graphs", "or fewer and larger kernels"),
    VerdictKind.COPY_BOUND: Action(
        "copy less", "or beside the computing, from pinned memory"
    ),
    VerdictKind.COMMUNICATION_BOUND: Action(
        "communicate less", "or beside the computing: two batches by turns"
    ),
    VerdictKind.QUEUE_BOUND: Action("look at what streams wait for", "not at batching"),
    VerdictKind.COLD_START: Action("leave the start out", "see what follows it"),
    VerdictKind.NO_DEMAND: Action("give it more work", "the device waits for requests"),
    VerdictKind.BUSY: Action("nothing", "what is left is the device's own work"),
    VerdictKind.CANNOT_TELL: Action("record again", "the verdict says what is missing"),
}


def main_cause(result: MeasuredDevice) -> MainCause | None:
    """Return the cause of most idle time; None where there is no idle time."""
    idle_ns = result.occupancy.idle_ns
    if not idle_ns:
        return None
    totals = causes_apart(result.gaps, result.host_ns)
    host_ns = {label: ns for label, ns in result.host_ns.items() if label != NO_DEMAND}
    cause = max(totals, key=lambda name: totals[name])
    cause_pct = percent(totals[cause], idle_ns)
    if cause != "host" or not host_ns:
        return MainCause(cause, cause_pct)
    part, part_ns = largest_part(host_ns)
    part = part.removeprefix(CALL_PREFIX).removeprefix(RANGE_PREFIX)
    return MainCause(cause, cause_pct, part, percent(part_ns, idle_ns))


def what_to_do(result: MeasuredDevice) -> Action:
    """Return what the verdict on a device comes to."""
    kind = result.verdict.kind
    if result.spread.kind == Spread.PAUSES and kind not in (
        VerdictKind.BUSY,
        VerdictKind.CANNOT_TELL,
    ):
        return Action(
            "look into the pauses", f"{result.spread.pauses:,} hold the idle time"
        )
    if kind == VerdictKind.SYNCHRONOUS:
        engine = result.view.engine
        return Action("batch asynchronously", SWITCH.get(engine, ""))
    culprit = result.batching.culprit
    if kind == VerdictKind.SERIALISED and culprit is not None:
        return Action("remove the wait", culprit.where)
    return _ACTIONS[kind]


def saved_without_wait(result: MeasuredDevice) -> float | None:
    """Return how much of the window the wait that serialises a loop costs at most, in %.

    None where nothing serialises it, or where an asynchronous loop is without that wait anyway:
    then the prediction says what is saved.
    """
    culprit = result.batching.culprit
    if culprit is None or not culprit.inside_step:
        return None
    waited_ns = min(culprit.waited_ns, result.occupancy.idle_ns)
    return percent(waited_ns, result.occupancy.window_ns)
