"""The verdict on a group of ranks: what they are to each other, and what to do about it."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.analysis.ranks.group import Group
from idlescope.analysis.ranks.group_kind import WAITS_PCT, GroupKind, GroupVerdict
from idlescope.analysis.ranks.late_ranks import late_verdict, names_of, turns_verdict
from idlescope.analysis.ranks.pipeline import pipeline_verdict
from idlescope.analysis.ranks.rank import RankSummary
from idlescope.analysis.ranks.timeline import RankTimeline
from idlescope.analysis.ranks.wording import (
    asynchronous_saving,
    between,
    collectives,
    names,
    sentence,
)

SHORTEST = 0.1  # of the calls of a kind take no longer than its transfer alone


def judge(group: Group) -> GroupVerdict:
    """Return the verdict on a group of ranks."""
    return (
        _dummies(group)
        or _apart(group)
        or _not_told(group)
        or pipeline_verdict(group)
        or _for_absent(group)
        or _balanced(group)
        or late_verdict(group)
        or turns_verdict(group)
    )


def _dummies(group: Group) -> GroupVerdict | None:
    """Return the verdict where some ranks have no requests, and step for the sake of others."""
    idle_rows = [
        row for row, rank in enumerate(group.ranks) if rank.no_demand and rank.dummies
    ]
    working = [rank for rank in group.ranks if not rank.no_demand]
    if not idle_rows or not working:
        return None
    idle_ranks = [group.ranks[row] for row in idle_rows]
    most_waiting = max(group.waiting_pct[row] for row in idle_rows)
    several = len(idle_rows) > 1
    run, wait, do = ("run", "wait", "do") if several else ("runs", "waits", "does")
    who = sentence(names_of(group, idle_rows))
    for_whom = names([rank.label for rank in working])
    when = "then" if any(rank.steps for rank in idle_ranks) else "at all"
    text = (
        f"{who} {run} dummy batches ({_dummy_share(idle_ranks)}), "
        f"{wait} up to {most_waiting:.0f} % of the time for {for_whom} "
        f"in {collectives(group)}, and {do} no useful work {when}. "
        "Send requests to all ranks, or serve with fewer data-parallel ranks."
    )
    return GroupVerdict(GroupKind.DUMMIES, text)


def _dummy_share(idle_ranks: list[RankSummary]) -> str:
    dummies = sum(rank.dummies for rank in idle_ranks)
    forwards = dummies + sum(rank.steps for rank in idle_ranks)
    return f"{dummies:,} of {forwards:,} forward passes have no request"


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


def _for_absent(group: Group) -> GroupVerdict | None:
    """Return the verdict where ranks may wait for one that is not here; None where it is.

    What calls take beyond the shortest of their kind, and no rank that is here explains, is waiting
    for another, or a transfer of more bytes.
    """
    if not group.absent or max(group.waiting_pct) >= WAITS_PCT:
        return None
    beyond_ns, share_pct = [], []
    for rank in group.ranks:
        own_ns = _beyond_shortest(rank.times)
        beyond_ns.append(own_ns)
        share_pct.append(percent(own_ns, rank.at_work_ns))
    if max(share_pct) < WAITS_PCT:
        return None
    missing = names([f"rank {number}" for number in group.absent])
    per_step = ""
    if group.steps:
        step_ns = np.mean(beyond_ns) / group.steps
        per_step = f", {step_ns / 1e6:.2f} ms per step"
    text = (
        f"Whom the ranks wait for cannot be told: {missing} of the job is not here, and those that "
        f"are stand in {collectives(group)} for {between(share_pct)} % of the time{per_step}, "
        "beyond what the same calls take at their shortest. Most likely they wait for "
        f"{missing}: record all ranks of the job."
    )
    return GroupVerdict(GroupKind.CANNOT_TELL, text)


def _beyond_shortest(times: RankTimeline) -> int:
    """Return how much longer a rank's calls took than if all were as short as the shortest."""
    lengths, keys = times.calls.length, times.calls.key
    beyond_ns = 0
    for key in range(len(times.keys)):
        of_key = lengths[keys == key]
        beyond_ns += int(np.maximum(of_key - np.quantile(of_key, SHORTEST), 0).sum())
    return beyond_ns


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
    saving = asynchronous_saving(group)
    if saving:
        return saving
    exposed = [rank.exposed_pct for rank in group.ranks]
    if max(exposed) >= WAITS_PCT:
        return (
            f"Communication that nothing covers takes {between(exposed)} % of the time: "
            "communicate beside the computing, or less."
        )
    return "What each of them could gain, its own details say (--rank N)."
