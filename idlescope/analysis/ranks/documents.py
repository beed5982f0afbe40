"""What is written of a group of ranks as JSON: its schema as types, and what fills it."""

from __future__ import annotations

import msgspec

from idlescope.analysis.ranks.group import Group
from idlescope.analysis.ranks.verdict import judge

NAMED_IN_JSON = 3  # ranks that one rank waits for, the longest first


class RankEntry(msgspec.Struct):
    """One rank beside the others. What is null cannot be told."""

    rank: str
    number: int
    device: str
    idle_pct: float
    exposed_communication_pct: float
    waiting_pct: float  # of the window: it only waits for other ranks
    useful_compute_pct: float
    window_ns: int
    idle_ns: int
    communication_ns: int  # the sum of the next three
    waiting_ns: int
    transfer_ns: int
    unmatched_ns: int
    exposed_communication_ns: int
    exposed_waiting_ns: int
    useful_compute_ns: int
    steps: int
    step_ns: float | None
    batching: str
    waits_for_ns: dict[str, int]
    steps_last: int  # in which the others waited longest for it
    clock_ahead_ns: int | None  # of the first rank's
    clock_error_ns: int


class GroupEntry(msgspec.Struct):
    """The ranks of one job."""

    kind: str
    text: str
    parallel: str
    collectives: list[str]
    steps: int
    step_ns: float | None
    batching: str
    predicted_step_ns: float | None
    ranks: list[RankEntry]


def group_entry(group: Group) -> GroupEntry:
    """Return what is written of a group."""
    verdict = judge(group)
    return GroupEntry(
        kind=str(verdict.kind),
        text=verdict.text,
        parallel=group.parallel,
        collectives=[str(what) for what in group.collectives],
        steps=group.steps,
        step_ns=group.step_ns,
        batching=str(group.batching),
        predicted_step_ns=group.predicted_step_ns,
        ranks=[_rank_entry(group, index) for index in range(len(group.ranks))],
    )


def _rank_entry(group: Group, index: int) -> RankEntry:
    rank, part, clock = group.ranks[index], group.waiting[index], group.clocks[index]
    return RankEntry(
        rank=rank.label,
        number=rank.place.number,
        device=rank.device,
        idle_pct=round(rank.idle_pct, 4),
        exposed_communication_pct=round(rank.exposed_pct, 4),
        waiting_pct=round(group.waiting_pct[index], 4),
        useful_compute_pct=round(rank.useful_pct, 4),
        window_ns=rank.window_ns,
        idle_ns=rank.idle_ns,
        communication_ns=rank.communication_ns,
        waiting_ns=part.waiting_ns,
        transfer_ns=part.transfer_ns,
        unmatched_ns=part.unmatched_ns,
        exposed_communication_ns=rank.exposed_communication_ns,
        exposed_waiting_ns=part.exposed_waiting_ns,
        useful_compute_ns=rank.useful_compute_ns,
        steps=rank.steps,
        step_ns=rank.step_ns,
        batching=str(rank.batching),
        waits_for_ns=_waits_for(group, index),
        steps_last=int(group.lateness.steps_last[index]),
        clock_ahead_ns=clock.ahead_ns if clock.known else None,
        clock_error_ns=clock.error_ns,
    )


def _waits_for(group: Group, index: int) -> dict[str, int]:
    """Return for which ranks one waits, the longest first."""
    waited = group.lateness.waited[index]
    longest = (-waited).argsort(kind="stable")[:NAMED_IN_JSON].tolist()
    return {group.ranks[late].label: int(waited[late]) for late in longest if waited[late]}
