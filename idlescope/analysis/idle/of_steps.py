"""What of idle time is a cost of the steps: all of it but pauses and a lack of requests.

Idle time that few gaps hold is no cost per step, so it has no part in why steps leave the device
idle.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.concentration import ENOUGH_STEPS, Apart, Concentration
from idlescope.analysis.idle.demand import causes_apart
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.intervals import Intervals, percent
from idlescope.analysis.steps.measure import Steps
from idlescope.trace.model import Ranges
from idlescope.trace.table import Bool, Int64


class StepsIdle(Struct, frozen=True):
    """The idle time that steps cost, in ns."""

    idle_ns: int
    cause_ns: dict[str, int]
    host_ns: dict[str, int]  # of the cause `host`, by what the host did


def between_pct(occupancy: Occupancy, spread: Concentration) -> float:
    """Return idle as a share of the window without its pauses and its lack of requests."""
    rest_ns = occupancy.window_ns - spread.apart_ns
    return percent(max(occupancy.idle_ns - spread.apart_ns, 0), rest_ns)


def beside(gaps: Gaps, times: Steps | Intervals) -> Bool:
    """Return which times touch one of some gaps; of steps, when the host worked for them."""
    begun = np.searchsorted(gaps.start, times.end)
    over = np.searchsorted(gaps.end, times.start, "right")
    return np.asarray(begun > over, np.bool_)


def usual_steps(gaps: Gaps, apart: Apart, steps: Steps) -> Steps:
    """Return the steps beside which there was neither a pause nor a lack of requests.

    All of them, where these are few: what a pause takes is no work for a step.
    """
    usual = steps.take(~beside(gaps.take(apart.touched), steps))
    return usual if len(usual) >= ENOUGH_STEPS else steps


def outside_pauses(
    gaps: Gaps, apart: Apart, times: Steps | Ranges, worked_ns: Int64
) -> Int64:
    """Return how long the host worked in some times, without what it did in pauses, in ns."""
    paused = gaps.take(apart.pauses)
    pauses = Intervals(paused.start, paused.end)
    paused_ns = intervals.covered_within(pauses, times.start, times.end)
    return np.maximum(worked_ns - paused_ns, 0)


def all_idle(gaps: Gaps, host_ns: Mapping[str, int]) -> StepsIdle:
    """Return all idle time of a device; what it is due to leaves out a lack of requests."""
    cause_ns = causes_apart(gaps, host_ns)
    del cause_ns[NO_DEMAND]
    of_host_ns = {label: ns for label, ns in host_ns.items() if label != NO_DEMAND}
    return StepsIdle(int(gaps.length.sum()), cause_ns, of_host_ns)


def of_steps(gaps: Gaps, host_ns: Mapping[str, int], spread: Concentration) -> StepsIdle:
    """Return the idle time of a device without its pauses and without that for want of requests."""
    every = all_idle(gaps, host_ns)
    cause_ns = _less(every.cause_ns, spread.pauses_cause_ns)
    of_host_ns = _less(every.host_ns, spread.pauses_host_ns)
    return StepsIdle(sum(cause_ns.values()), cause_ns, of_host_ns)


def _less(all_ns: Mapping[str, int], apart_ns: Mapping[str, int]) -> dict[str, int]:
    return {name: ns - apart_ns.get(name, 0) for name, ns in all_ns.items()}
