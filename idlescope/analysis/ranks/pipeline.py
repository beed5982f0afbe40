"""The verdict on stages of a pipeline, which wait for each other in sends and receives."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.ranks.group_kind import WAITS_PCT, GroupKind, GroupVerdict
from idlescope.analysis.ranks.wording import between, names, sentence
from idlescope.trace.names.communication import Collective

MOSTLY_IN_PAIRS_PCT = 50.0  # of all waiting that makes it a pipeline's
FULL_PCT = 85.0  # of the time computed by the busiest stage: there are batches enough
UNEVEN = 1.1  # as much work as the mean stage: layers could move from it


def pipeline_verdict(group: Group) -> GroupVerdict | None:
    """Return the verdict where most waiting is of a pipeline's stages; else None."""
    exposed_ns = sum(part.exposed_waiting_ns for part in group.waiting)
    in_pairs_pct = percent(group.pairs_waited_ns, exposed_ns)
    if max(group.waiting_pct) < WAITS_PCT or in_pairs_pct < MOSTLY_IN_PAIRS_PCT:
        return None
    stages = len({rank.place.tags.get("pp", rank.label) for rank in group.ranks})
    useful_pct = [rank.useful_pct for rank in group.ranks]
    remedy = _fill(group, stages, max(useful_pct))
    text = (
        f"Pipeline of {stages}: "
        f"each stage computes {between(useful_pct)} % of the time "
        f"and waits for the others {between(list(group.waiting_pct))} % of it, "
        f"in {Collective.SEND_RECV}. {remedy}"
    )
    return GroupVerdict(GroupKind.PIPELINE, text)


def _fill(group: Group, stages: int, busiest_pct: float) -> str:
    """Return what would help: more batches in flight, or stages of equal work."""
    uneven = _uneven(group)
    if busiest_pct >= FULL_PCT:
        return uneven or "It is full: what is left is its filling and emptying."
    what = f"Keep {stages} batches in flight, one for each stage"
    text = f"{what}{_without_waiting(group)}. {uneven}"
    return text.rstrip()


def _without_waiting(group: Group) -> str:
    """Return how long a batch would take a stage that does not wait; empty where not less."""
    least_ns, step_ns = group.least_step_ns, group.step_ns
    if least_ns is None or step_ns is None or least_ns >= step_ns:
        return ""
    saved_pct = 100 * (1 - least_ns / step_ns)
    return (
        f": without waiting a stage takes {least_ns / 1e6:.2f} ms per batch "
        f"instead of {step_ns / 1e6:.2f}, {saved_pct:.0f} % less"
    )


def _uneven(group: Group) -> str:
    """Return which stage has most to do, where that is much more than the mean; else nothing."""
    if not all(rank.steps for rank in group.ranks):
        return ""
    work_ns = [rank.useful_compute_ns / rank.steps for rank in group.ranks]
    most_ns = max(work_ns)
    mean_ns = float(np.mean(work_ns))
    if most_ns < UNEVEN * mean_ns:
        return ""
    busiest = [
        rank.label
        for rank, own_ns in zip(group.ranks, work_ns, strict=True)
        if own_ns * UNEVEN >= most_ns
    ]
    who = sentence(names(busiest))
    verb = "has" if len(busiest) == 1 else "have"
    return (
        f"{who} {verb} most to do, {most_ns / 1e6:.2f} ms per batch "
        f"where the stages have {mean_ns / 1e6:.2f} in the mean: "
        "move layers from there to the others."
    )
