"""The verdict on stages of a pipeline, which wait for each other in sends and receives."""

from __future__ import annotations

from collections.abc import Sequence

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
    stages = {rank.place.tags.get("pp", rank.label) for rank in group.ranks}
    useful = [rank.useful_pct for rank in group.ranks]
    text = (
        f"Pipeline of {len(stages)}: {_computing(useful)} and waits for the others "
        f"{between(list(group.waiting_pct))} % of it, in {Collective.SEND_RECV}. "
        f"{_fill(group, len(stages), max(useful))}"
    )
    return GroupVerdict(GroupKind.PIPELINE, text)


def _computing(useful: Sequence[float]) -> str:
    return f"each stage computes {between(useful)} % of the time"


def _fill(group: Group, stages: int, busiest_pct: float) -> str:
    """Return what would help: more batches in flight, or stages of equal work."""
    uneven = _uneven(group)
    if busiest_pct >= FULL_PCT:
        return uneven or "It is full: what is left is its filling and emptying."
    what = f"Keep {stages} batches in flight, one for each stage"
    least_ns, step_ns = group.least_step_ns, group.step_ns
    if least_ns is None or step_ns is None or least_ns >= step_ns:
        return f"{what}. {uneven}".rstrip()
    saved_pct = 100 * (1 - least_ns / step_ns)
    return (
        f"{what}: without waiting a stage takes {least_ns / 1e6:.2f} ms per batch instead of "
        f"{step_ns / 1e6:.2f}, {saved_pct:.0f} % less. {uneven}"
    ).rstrip()


def _uneven(group: Group) -> str:
    """Return which stage has most to do, where that is much more than the mean; else nothing."""
    if not all(rank.steps for rank in group.ranks):
        return ""
    works = [rank.useful_compute_ns / rank.steps for rank in group.ranks]
    mean_ns = float(np.mean(works))
    if max(works) < UNEVEN * mean_ns:
        return ""
    most = [
        rank.label
        for rank, work_ns in zip(group.ranks, works, strict=True)
        if work_ns * UNEVEN >= max(works)
    ]
    verb = "has" if len(most) == 1 else "have"
    return (
        f"{sentence(names(most))} {verb} most to do, {max(works) / 1e6:.2f} ms per batch where "
        f"the stages have {mean_ns / 1e6:.2f} in the mean: move layers from there to the others."
    )
