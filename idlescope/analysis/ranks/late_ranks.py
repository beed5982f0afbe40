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
    shares = [group.waiting_pct[index] for index in late.waiting]
    who = names([group.ranks[index].label for index in late.waiting])
    verb = "waits" if len(late.waiting) == 1 else "wait"
    text = (
        f"{reason}: {who} {verb}{_when(group, late)} for "
        f"{'them' if late.are_several else 'it'} in {collectives(group)} "
        f"({between(shares)} % of the time).{_observer(group, late)} "
        f"{_remedy(group, late, kind)}"
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
    waited = group.lateness.waited
    peers = group.peers(first)
    longest_ns = max(group.waiting[index].exposed_waiting_ns for index in [first, *peers])
    as_late = [
        index
        for index in sorted([first, *peers])
        if group.waiting[index].exposed_waiting_ns <= AS_LATE * longest_ns
    ]
    for ranks in (as_late, [first]):
        is_most = percent(int(waited[:, ranks].sum()), int(waited.sum())) >= ONE_RANK_PCT
        if first in ranks and is_most and 2 * len(ranks) <= len(peers) + 1:
            return _Late(ranks, _waiting(group, ranks))
    return None


def _waiting(group: Group, late: Sequence[int]) -> list[int]:
    """Return who waits, the late ones aside: those of whom it is much, else who waits most."""
    others = [index for index in range(len(group.ranks)) if index not in late]
    much = [index for index in others if group.waiting_pct[index] >= WAITS_PCT / 2]
    return much or [max(others, key=lambda index: group.waiting_pct[index])]


def _when(group: Group, late: _Late) -> str:
    """Return how long they wait: per step, or in the few steps that hold nearly all of it."""
    in_steps = group.lateness.by_step.of(late.ranks)
    # Of recordings of other lengths the steps that both hold count.
    most_steps = max(group.ranks[index].steps for index in late.ranks)
    counts = [min(group.ranks[index].steps, most_steps) for index in late.waiting]
    if not all(counts):
        return ""
    longest_first = np.sort(in_steps.waited_ns)[::-1]
    enough_ns = MOST_WAITING_PCT / 100 * longest_first.sum()
    few = int(np.searchsorted(np.cumsum(longest_first), enough_ns)) + 1
    if few <= min(FEW_STEPS * max(counts), longest_first.size):
        long_waits = _longer(in_steps, int(longest_first[few - 1]))
        mean_ns = float(long_waits.waited_ns.mean()) / len(late.waiting)
        return (
            f" {mean_ns / 1e6:.2f} ms in each of {long_waits.step.size:,} of {max(counts):,} "
            f"steps{_which(long_waits)}"
        )
    per_step = [
        group.waiting[index].exposed_waiting_ns / count
        for index, count in zip(late.waiting, counts, strict=True)
    ]
    return f" {np.mean(per_step) / 1e6:.2f} ms per step"


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
    first, last = int(waits.step.min()), int(waits.step.max())
    count = waits.step.size
    if count > 1 and last - first + 1 == count:
        return f" (one after the other, {first:,} to {last:,})"
    return ""


def _reason(group: Group, late: _Late) -> tuple[GroupKind, str]:
    """Return why ranks are waited for, as the beginning of the verdict."""
    who = sentence(names([group.ranks[index].label for index in late.ranks]))
    lateness, ranks = group.lateness, late.ranks
    in_all = int(lateness.waited[:, ranks].sum())
    idle_ns, host_ns = int(lateness.idle[ranks].sum()), int(lateness.host[ranks].sum())
    idle_pct = percent(idle_ns, in_all)
    compute_pct = percent(int(lateness.compute[ranks].sum()), in_all)
    if idle_pct >= REASON_PCT and idle_pct >= compute_pct:
        if percent(host_ns, idle_ns) < REASON_PCT:
            are = (
                "are late, since their devices stand"
                if late.are_several
                else ("is late, since its device stands")
            )
            return GroupKind.ONE_LATE, f"{who} {are} idle between launches"
        part = group.ranks[ranks[0]].largest_host_part
        where = f" (most of it: {part})" if part else ""
        hosts = (
            f"The hosts of {names_of(group, ranks)} are"
            if late.are_several
            else (f"{who}'s host is")
        )
        return GroupKind.LATE_HOST, f"{hosts} late{where}"
    if compute_pct >= REASON_PCT:
        compute = "compute" if late.are_several else "computes"
        return (
            GroupKind.LONGER_COMPUTE,
            f"{who} {compute} longer{_larger_batch(group, ranks)}",
        )
    return GroupKind.ONE_LATE, f"{who} {'are' if late.are_several else 'is'} late"


def names_of(group: Group, ranks: Sequence[int]) -> str:
    """Return some ranks of a group in words."""
    return names([group.ranks[index].label for index in ranks])


def _larger_batch(group: Group, late: Sequence[int]) -> str:
    """Return that their batch is larger, where the trace says so."""
    own = [group.ranks[index].batch for index in late]
    others = [rank.batch for index, rank in enumerate(group.ranks) if index not in late]
    own_known = [batch for batch in own if batch is not None]
    others_known = [batch for batch in others if batch is not None]
    if len(own_known) < len(own) or not others_known:
        return ""
    own_mean, others_mean = float(np.mean(own_known)), float(np.mean(others_known))
    if own_mean < LARGER_BATCH * others_mean:
        return ""
    return (
        f", with {own_mean:.0f} requests in a step where the others have {others_mean:.0f}"
    )


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
