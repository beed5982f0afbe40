"""The verdict where ranks wait: for which, in which steps, why, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.ranks.group_kind import WAITS_PCT, GroupKind, GroupVerdict
from idlescope.analysis.ranks.lateness import StepWaits
from idlescope.analysis.ranks.wording import (
    asynchronous_saving,
    between,
    collectives,
    least_step,
    names,
    sentence,
)
from idlescope.analysis.steps.step_kind import STEP_KINDS, StepKind
from idlescope.trace.table import Int64

ONE_RANK_PCT = 60.0  # of all waiting for one rank is that rank's
AS_LATE = (
    0.1  # of the longest waiting: who waits so little is as late as the one waited for
)
REASON_PCT = 50.0  # of what a rank is waited for
LARGER_BATCH = 1.1  # as large as that of the others: the batch is why it computes longer
FEW_STEPS = 0.5  # of all steps: where they hold the waiting, it is not per step
MOST_WAITING_PCT = 90.0  # of the waiting is in so many steps


class _Late(NamedTuple):
    """The ranks that the others wait for."""

    ranks: list[int]
    waiting: list[int]  # those that wait for them

    @property
    def are_several(self) -> bool:
        """Return whether several ranks are late together."""
        return len(self.ranks) > 1


def late_verdict(group: Group) -> GroupVerdict | None:
    """Return the verdict where most waiting is for one rank, or for some that are late together."""
    late = _late(group)
    if late is None:
        return None
    kind, reason = _reason(group, late)
    who = names_of(group, late.waiting)
    verb = "waits" if len(late.waiting) == 1 else "wait"
    for_whom = "them" if late.are_several else "it"
    shares = [group.waiting_pct[index] for index in late.waiting]
    when = _when(group, late)
    observer = _observer(group, late)
    remedy = _remedy(group, late, kind)
    text = (
        f"{reason}: {who} {verb}{when} for {for_whom} "
        f"in {collectives(group)} "
        f"({between(shares)} % of the time)."
        f"{observer} {remedy}"
    )
    return GroupVerdict(kind, text)


def turns_verdict(group: Group) -> GroupVerdict:
    """Return the verdict where ranks wait for each other, now for this one, now for that."""
    mean_ns = float(np.mean([part.exposed_waiting_ns for part in group.waiting]))
    per_step = f"{mean_ns / group.steps / 1e6:.2f} ms per step" if group.steps else "much"
    text = (
        f"The ranks wait {per_step} for each other in {collectives(group)} "
        f"({between(list(group.waiting_pct))} % of the time), each for another in turn"
        f"{_turns_reason(group)}; with none waiting, {least_step(group)}."
    )
    return GroupVerdict(GroupKind.TURNS, text)


def _turns_reason(group: Group) -> str:
    """Return why ranks are late by turns, and what to look at."""
    lateness = group.lateness
    waited_ns = int(lateness.waited.sum())
    if percent(int(lateness.compute.sum()), waited_ns) >= REASON_PCT:
        return (
            ", since they compute for different times. Look at how batches, tokens or experts "
            "are divided from step to step"
        )
    if percent(int(lateness.host.sum()), waited_ns) >= REASON_PCT:
        return (
            ", since their hosts are late. Look for what varies from step to step: hosts that "
            "share cores, garbage collection"
        )
    return (
        ". Look for what varies from step to step: hosts that share cores, or uneven batches "
        "or experts"
    )


def _late(group: Group) -> _Late | None:
    """Return who is late; None where that changes."""
    first = group.waited_for
    if first is None:
        return None
    together = sorted([first, *group.peers(first)])
    waits_ns = {index: group.waiting[index].exposed_waiting_ns for index in together}
    longest_ns = max(waits_ns.values())
    as_late = [index for index in together if waits_ns[index] <= AS_LATE * longest_ns]

    waited = group.lateness.waited
    waited_ns = int(waited.sum())
    for ranks in (as_late, [first]):
        share_pct = percent(int(waited[:, ranks].sum()), waited_ns)
        few_are_late = 2 * len(ranks) <= len(together)
        if first in ranks and few_are_late and share_pct >= ONE_RANK_PCT:
            return _Late(ranks, _waiting(group, ranks))
    return None


def _waiting(group: Group, late: Sequence[int]) -> list[int]:
    """Return who waits, the late ones aside: those of whom it is much, else who waits most."""
    others = [index for index in range(len(group.ranks)) if index not in late]
    much = [index for index in others if group.waiting_pct[index] >= WAITS_PCT / 2]
    return much or [max(others, key=lambda index: group.waiting_pct[index])]


def _when(group: Group, late: _Late) -> str:
    """Return how long they wait: per step, or in the few steps that hold nearly all of it."""
    counts = _common_steps(group, late)
    if not all(counts):
        return ""
    most = max(counts)
    waits = group.lateness.by_step.of(late.ranks)
    few_waits = _longest(waits, int(FEW_STEPS * most))
    if few_waits is not None:
        return _in_few_steps(few_waits, len(late.waiting), most)
    waited_ns = [group.waiting[index].exposed_waiting_ns for index in late.waiting]
    mean_ns = np.mean(np.array(waited_ns) / counts)
    return f" {mean_ns / 1e6:.2f} ms per step"


def _common_steps(group: Group, late: _Late) -> list[int]:
    """Return the steps of each that waits: of recordings of other lengths those that both hold."""
    most = max(group.ranks[index].steps for index in late.ranks)
    return [min(group.ranks[index].steps, most) for index in late.waiting]


def _in_few_steps(waits: StepWaits, waiting: int, steps: int) -> str:
    """Return how long each of those `waiting` waits in the few of all steps that hold it."""
    mean_ns = waits.waited_ns.mean() / waiting
    few = f"{waits.step.size:,} of {steps:,} steps"
    return f" {mean_ns / 1e6:.2f} ms in each of {few}{_which(waits)}"


def _longest(waits: StepWaits, most: int) -> StepWaits | None:
    """Return the longest waits, if so many steps at most hold nearly all waiting; else None."""
    longest_first = np.sort(waits.waited_ns)[::-1]
    total_ns = np.cumsum(longest_first)
    enough_ns = MOST_WAITING_PCT / 100 * longest_first.sum()
    count = int(np.searchsorted(total_ns, enough_ns)) + 1
    if count > min(most, longest_first.size):
        return None
    return _longer(waits, int(longest_first[count - 1]))


def _longer(waits: StepWaits, threshold_ns: int) -> StepWaits:
    rows = waits.waited_ns >= threshold_ns
    return StepWaits(
        waits.step[rows], waits.rank[rows], waits.waited_ns[rows], waits.kind[rows]
    )


def _which(waits: StepWaits) -> str:
    """Return what some steps have in common: their kind, or that they follow one another."""
    kinds = {STEP_KINDS[code] for code in waits.kind.tolist()}
    if kinds == {StepKind.PREFILL}:
        return " (all of them prefill)"
    if kinds and kinds <= {StepKind.PREFILL, StepKind.MIXED}:
        return " (all of them with prefill)"
    return _in_a_row(waits.step)


def _in_a_row(steps: Int64) -> str:
    """Return that steps follow one another, where they do."""
    first, last = int(steps.min()), int(steps.max())
    if steps.size > 1 and last - first + 1 == steps.size:
        return f" (one after the other, {first:,} to {last:,})"
    return ""


def _reason(group: Group, late: _Late) -> tuple[GroupKind, str]:
    """Return why ranks are waited for, as the beginning of the verdict."""
    share = _shares(group, late.ranks)
    who = sentence(names_of(group, late.ranks))
    are = "are" if late.are_several else "is"
    if share.idle_pct >= max(REASON_PCT, share.compute_pct):
        if share.host_pct >= REASON_PCT:
            return GroupKind.LATE_HOST, _late_hosts(group, late)
        devices = "their devices stand" if late.are_several else "its device stands"
        text = f"{who} {are} late, since {devices} idle between launches"
        return GroupKind.ONE_LATE, text
    if share.compute_pct >= REASON_PCT:
        compute = "compute" if late.are_several else "computes"
        text = f"{who} {compute} longer{_larger_batch(group, late.ranks)}"
        return GroupKind.LONGER_COMPUTE, text
    return GroupKind.ONE_LATE, f"{who} {are} late"


class _Shares(NamedTuple):
    """Why ranks are waited for, in per cent of that; the host's is of their being idle."""

    idle_pct: float
    compute_pct: float
    host_pct: float


def _shares(group: Group, ranks: Sequence[int]) -> _Shares:
    lateness = group.lateness
    waited_ns = int(lateness.waited[:, ranks].sum())
    idle_ns, host_ns, compute_ns = (
        int(reason[ranks].sum())
        for reason in (lateness.idle, lateness.host, lateness.compute)
    )
    return _Shares(
        idle_pct=percent(idle_ns, waited_ns),
        compute_pct=percent(compute_ns, waited_ns),
        host_pct=percent(host_ns, idle_ns),
    )


def _late_hosts(group: Group, late: _Late) -> str:
    """Return that hosts are late, and what most of their time is."""
    who = names_of(group, late.ranks)
    part = group.ranks[late.ranks[0]].largest_host_part
    where = f" (most of it: {part})" if part else ""
    if late.are_several:
        return f"The hosts of {who} are late{where}"
    return f"{sentence(who)}'s host is late{where}"


def names_of(group: Group, ranks: Sequence[int]) -> str:
    """Return some ranks of a group in words."""
    return names([group.ranks[index].label for index in ranks])


def _larger_batch(group: Group, late: Sequence[int]) -> str:
    """Return that their batch is larger, where the trace says so."""
    others = [index for index in range(len(group.ranks)) if index not in late]
    own_batches = _known_batches(group, late)
    other_batches = _known_batches(group, others)
    if len(own_batches) < len(late) or not other_batches:
        return ""
    own_mean = float(np.mean(own_batches))
    others_mean = float(np.mean(other_batches))
    if own_mean < LARGER_BATCH * others_mean:
        return ""
    own_text = f"{own_mean:.0f} requests in a step"
    return f", with {own_text} where the others have {others_mean:.0f}"


def _known_batches(group: Group, ranks: Sequence[int]) -> list[float]:
    """Return the mean batches of those of some ranks that say it."""
    batches = [group.ranks[index].batch for index in ranks]
    return [batch for batch in batches if batch is not None]


def _observer(group: Group, late: _Late) -> str:
    """Return that the late ones alone were recorded with stacks, which slow a host down."""
    with_stacks = [index for index, rank in enumerate(group.ranks) if rank.stacks]
    if not with_stacks or not set(with_stacks) <= set(late.ranks):
        return ""
    return (
        f" Only {names_of(group, with_stacks)} was recorded with Python stacks, which slow its "
        "host: record without them before looking further."
    )


def _remedy(group: Group, late: _Late, kind: GroupKind) -> str:
    """Return what to do about ranks that are waited for."""
    who = names_of(group, late.ranks)
    if kind == GroupKind.LONGER_COMPUTE:
        return f"Give {who} less to do: divide requests, tokens or experts more evenly."
    number = group.ranks[late.ranks[0]].place.number
    return asynchronous_saving(group) or (
        f"Look at what {who} did before {'their' if late.are_several else 'its'} collectives "
        f"(--rank {number}): with none waiting, {least_step(group)}."
    )
