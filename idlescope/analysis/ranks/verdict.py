"""The verdict on a group of ranks: what they are to each other, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.prediction.prediction import WORTH
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.steps.batching import BatchingKind
from idlescope.analysis.verdict.remedy import SWITCH
from idlescope.trace.names.communication import Collective

WAITS_PCT = 5.0  # of the window: less waiting for other ranks is balanced
ONE_RANK_PCT = 60.0  # of all waiting: more for one rank is that rank's
LARGER_BATCH = 1.1  # as large as that of the others: the batch is why it computes longer
MOSTLY_IN_PAIRS_PCT = 50.0  # of all waiting that makes it a pipeline's
REASON_PCT = 50.0  # of what a rank is waited for


class GroupKind(str, Enum):
    """What the ranks of a job are to each other."""

    BALANCED = "balanced"
    LATE_HOST = "one rank's host is late"
    LONGER_COMPUTE = "one rank computes longer"
    ONE_LATE = "one rank is late"
    TURNS = "late by turns"
    PIPELINE = "pipeline"
    DUMMIES = "dummy batches"
    APART = "no communication"
    CANNOT_TELL = "cannot tell"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class GroupVerdict:
    """Two sentences: what, and what to do."""

    kind: GroupKind
    text: str


def judge(group: Group) -> GroupVerdict:
    """Return the verdict on a group of ranks."""
    return (
        _dummies(group)
        or _apart(group)
        or _not_told(group)
        or _pipeline(group)
        or _balanced(group)
        or _one_late(group)
        or _turns(group)
    )


def names(labels: Sequence[str], most: int = 3) -> str:
    """Return some ranks in words: `rank 1`, `ranks 1 and 2`, `ranks 1, 2, 3 and 5 more`."""
    numbers = [label.removeprefix("rank ") for label in labels]
    prefix = "rank" if numbers != list(labels) else ""
    if len(numbers) == 1:
        return labels[0]
    shown, further = numbers[:most], len(numbers) - most
    if further > 0:
        first_ones, last_one = shown, f"{further} more"
    else:
        *first_ones, last_one = shown
    listed = f"{', '.join(first_ones)} and {last_one}"
    return f"{prefix}s {listed}" if prefix else listed


def _dummies(group: Group) -> GroupVerdict | None:
    """Return the verdict where some ranks have no requests, and step for the sake of others."""
    idle_ranks = [rank for rank in group.ranks if rank.no_demand and rank.dummies]
    working = [rank for rank in group.ranks if not rank.no_demand]
    if not idle_ranks or not working:
        return None
    dummies = sum(rank.dummies for rank in idle_ranks)
    forwards = dummies + sum(rank.steps for rank in idle_ranks)
    runs = "runs" if len(idle_ranks) == 1 else "run"
    waits = [
        percent
        for rank, percent in zip(group.ranks, group.waiting_pct, strict=True)
        if rank in idle_ranks
    ]
    does = "does" if len(idle_ranks) == 1 else "do"
    text = (
        f"{_sentence(names([rank.label for rank in idle_ranks]))} {runs} dummy batches "
        f"({dummies:,} of {forwards:,} forward passes have no request), waits up to "
        f"{max(waits):.0f} % of the time for {names([rank.label for rank in working])} in "
        f"{_collectives(group)}, and {does} no useful work. Send requests to all ranks, or serve "
        "with fewer data-parallel ranks."
    )
    if len(idle_ranks) > 1:
        text = text.replace(", waits up to", ", wait up to")
    return GroupVerdict(GroupKind.DUMMIES, text)


def _apart(group: Group) -> GroupVerdict | None:
    if any(rank.communication_ns for rank in group.ranks):
        return None
    text = (
        "No communication between these devices was recorded, so each is by itself. Where they "
        "should communicate, look whether their graphs were recorded kernel by kernel."
    )
    return GroupVerdict(GroupKind.APART, text)


def _not_told(group: Group) -> GroupVerdict | None:
    if group.communicates:
        return None
    text = (
        "Whom the ranks wait for cannot be told: no calls of a collective could be matched. Record "
        "all ranks of the job over the same steps, on clocks that agree."
    )
    return GroupVerdict(GroupKind.CANNOT_TELL, text)


def _pipeline(group: Group) -> GroupVerdict | None:
    """Return the verdict on stages of a pipeline, which wait in sends and receives."""
    exposed_ns = sum(part.exposed_waiting_ns for part in group.waiting)
    in_pairs_pct = percent(group.pairs_waited_ns, exposed_ns)
    if max(group.waiting_pct) < WAITS_PCT or in_pairs_pct < MOSTLY_IN_PAIRS_PCT:
        return None
    stages = {rank.place.tags.get("pp", rank.label) for rank in group.ranks}
    useful = _between([rank.useful_pct for rank in group.ranks])
    waits = _between(list(group.waiting_pct))
    text = (
        f"Pipeline of {len(stages)}: each stage computes {useful} % of the time and waits for the "
        f"others {waits} % of it, in {Collective.SEND_RECV}. {_fill(group, len(stages))}"
    )
    return GroupVerdict(GroupKind.PIPELINE, text)


def _fill(group: Group, stages: int) -> str:
    """Return what a full pipeline would give."""
    what = f"Keep {stages} batches in flight, one for each stage"
    least_ns, step_ns = group.least_step_ns, group.step_ns
    if least_ns is None or step_ns is None or least_ns >= step_ns:
        return f"{what}."
    saved_pct = 100 * (1 - least_ns / step_ns)
    return (
        f"{what}: without waiting a stage takes {least_ns / 1e6:.2f} ms per batch instead of "
        f"{step_ns / 1e6:.2f}, {saved_pct:.0f} % less."
    )


def _balanced(group: Group) -> GroupVerdict | None:
    most_pct = max(group.waiting_pct)
    if most_pct >= WAITS_PCT:
        return None
    text = (
        f"The ranks are balanced: none waits for another for more than {most_pct:.1f} % of the "
        f"time. {_of_all(group)}"
    )
    return GroupVerdict(GroupKind.BALANCED, text)


def _of_all(group: Group) -> str:
    """Return what would help ranks that are in step."""
    saving = _asynchronous(group)
    if saving:
        return saving
    exposed = [rank.exposed_pct for rank in group.ranks]
    if max(exposed) >= WAITS_PCT:
        return (
            f"Communication that nothing covers takes {_between(exposed)} % of the time: "
            "communicate beside the computing, or less."
        )
    return "What each of them could gain, its own details say (--rank N)."


def _one_late(group: Group) -> GroupVerdict | None:
    """Return the verdict where most waiting is for one rank."""
    late = group.waited_for
    waited = group.lateness.waited
    if (
        late is None
        or percent(int(waited[:, late].sum()), int(waited.sum())) < ONE_RANK_PCT
    ):
        return None
    label = group.ranks[late].label
    kind, because = _reason(group, late)
    waiting_ranks = [
        index
        for index, waits_pct in enumerate(group.waiting_pct)
        if index != late and waits_pct >= WAITS_PCT / 2
    ]
    waits = [group.waiting[index].exposed_waiting_ns for index in waiting_ranks]
    shares = [group.waiting_pct[index] for index in waiting_ranks]
    who = names([group.ranks[index].label for index in waiting_ranks])
    steps = group.steps
    per_step = f" {np.mean(waits) / steps / 1e6:.2f} ms per step" if steps else ""
    verb = "waits" if len(waiting_ranks) == 1 else "wait"
    text = (
        f"{_sentence(label)}{because}: {who} {verb}{per_step} for it in {_collectives(group)} "
        f"({_between(shares)} % of the time). {_remedy(group, late, kind)}"
    )
    return GroupVerdict(kind, text)


def _reason(group: Group, late: int) -> tuple[GroupKind, str]:
    """Return why a rank is waited for, as what follows its name."""
    in_all = int(group.lateness.waited[:, late].sum())
    idle_pct = percent(int(group.lateness.idle[late]), in_all)
    compute_pct = percent(int(group.lateness.compute[late]), in_all)
    if idle_pct >= REASON_PCT and idle_pct >= compute_pct:
        host_ns, idle_ns = int(group.lateness.host[late]), int(group.lateness.idle[late])
        if percent(host_ns, idle_ns) < REASON_PCT:
            return (
                GroupKind.ONE_LATE,
                " is late, since its device stands idle between launches",
            )
        part = group.ranks[late].largest_host_part
        where = f" (most of it: {part})" if part else ""
        return GroupKind.LATE_HOST, f"'s host is late{where}"
    if compute_pct >= REASON_PCT:
        return GroupKind.LONGER_COMPUTE, f" computes longer{_larger_batch(group, late)}"
    return GroupKind.ONE_LATE, " is late"


def _larger_batch(group: Group, late: int) -> str:
    """Return that its batch is larger, where the trace says so."""
    own = group.ranks[late].batch
    others = [
        rank.batch
        for index, rank in enumerate(group.ranks)
        if index != late and rank.batch is not None
    ]
    if own is None or not others or own < LARGER_BATCH * float(np.mean(others)):
        return ""
    return (
        f", with {own:.0f} requests in a step where the others have {np.mean(others):.0f}"
    )


def _remedy(group: Group, late: int, kind: GroupKind) -> str:
    """Return what to do about a rank that is waited for."""
    label = group.ranks[late].label
    if kind == GroupKind.LONGER_COMPUTE:
        return f"Give {label} less to do: divide requests, tokens or experts more evenly."
    return _asynchronous(group) or (
        f"Look at what {label} did before its collectives (--rank {late}): with none waiting, "
        f"{_least(group)}."
    )


def _least(group: Group) -> str:
    least_ns, step_ns = group.least_step_ns, group.step_ns
    if least_ns is None or step_ns is None:
        return "the others would be as fast as their own work allows"
    return f"a step would take {least_ns / 1e6:.2f} ms instead of {step_ns / 1e6:.2f}"


def _asynchronous(group: Group) -> str:
    """Return what asynchronous batching would give the group; empty: nothing, or not told."""
    step_ns, predicted_ns = group.step_ns, group.predicted_step_ns
    synchronous = group.batching in (BatchingKind.SYNCHRONOUS, BatchingKind.SERIALISED)
    if not synchronous or step_ns is None or predicted_ns is None:
        return ""
    prediction = group.prediction
    assert prediction is not None
    saved = 1 - predicted_ns / prediction.recorded_step_ns
    if saved < WORTH:
        return ""
    switch = SWITCH.get(group.driver.engine, "")
    what = f"Asynchronous batching ({switch})" if switch else "Asynchronous batching"
    return (
        f"{what} would make it {predicted_ns / 1e6:.2f} ms per step of the group instead of "
        f"{prediction.recorded_step_ns / 1e6:.2f}, {100 * saved:.1f} % less."
    )


def _turns(group: Group) -> GroupVerdict:
    """Return the verdict where ranks wait for each other, now for this one, now for that."""
    mean_ns = float(np.mean([part.exposed_waiting_ns for part in group.waiting]))
    per_step = f"{mean_ns / group.steps / 1e6:.2f} ms per step" if group.steps else "much"
    text = (
        f"The ranks wait {per_step} for each other in {_collectives(group)} "
        f"({_between(list(group.waiting_pct))} % of the time), each for another in turn. Look "
        "for what varies from step to step: hosts that share cores, or uneven batches or experts; "
        f"with none waiting, {_least(group)}."
    )
    return GroupVerdict(GroupKind.TURNS, text)


def _collectives(group: Group) -> str:
    """Return what the ranks do together, in words."""
    kinds = [str(what) for what in group.collectives[:2]]
    return " and ".join(kinds) if kinds else "collectives"


def _between(shares: Sequence[float]) -> str:
    """Return some percentages as one, or as the least and the most."""
    least, most = f"{min(shares):.0f}", f"{max(shares):.0f}"
    return most if least == most else f"{least} to {most}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
