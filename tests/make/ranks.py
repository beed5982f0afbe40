"""Make traces of ranks that step together, with known waiting, transfer and clocks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.make.kineto_files import call, document, operation, span

ALL_REDUCE = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
SEND_RECV = "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)"
BASE_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Job:
    """Tensor-parallel ranks: in each layer they compute, then reduce together. Nanoseconds."""

    ranks: int
    steps: int = 6
    layers: int = 3
    compute_ns: int = 100_000  # of a layer
    transfer_ns: int = 20_000
    late_ns: tuple[int, ...] = ()  # what each rank's host is late by, in each step
    longer_ns: tuple[int, ...] = ()  # what each rank computes longer, in each layer
    ahead_ns: tuple[int, ...] = ()  # what each rank's clock is ahead
    first_step: tuple[int, ...] = ()  # at which each rank's recording begins
    collective: str = ALL_REDUCE  # the kernel
    pause_before: int = -1  # a step before which all ranks stand still
    pause_ns: int = 0

    def of(self, column: tuple[int, ...], rank: int) -> int:
        """A rank's value in a column that need not be given."""
        return column[rank] if column else 0


@dataclass(frozen=True)
class Made:
    """The ranks' Kineto events, and the truth about each. Nanoseconds, by rank."""

    events: list[list[dict[str, Any]]]
    waiting: list[int]
    communication: list[int]


def job(wanted: Job) -> Made:
    """Ranks whose collectives end together when all have begun and the transfer is done."""
    events: list[list[dict[str, Any]]] = [[] for _ in range(wanted.ranks)]
    waiting, communication = [0] * wanted.ranks, [0] * wanted.ranks
    now = 1_000_000
    for step in range(wanted.steps):
        now += wanted.pause_ns if step == wanted.pause_before else 0
        begun = [
            now + 20_000 + wanted.of(wanted.late_ns, rank) for rank in range(wanted.ranks)
        ]
        for rank, ready in enumerate(begun):
            if step >= wanted.of(wanted.first_step, rank):
                ahead = wanted.of(wanted.ahead_ns, rank)
                events[rank] += [
                    span(
                        now + ahead, ready + ahead, "execute_context_0(0)_generation_8(8)"
                    ),
                    call(
                        ready - 6000 + ahead,
                        ready - 1000 + ahead,
                        step + 1,
                        "cudaGraphLaunch",
                    ),
                ]
        for _ in range(wanted.layers):
            arrive = [
                ready + wanted.compute_ns + wanted.of(wanted.longer_ns, rank)
                for rank, ready in enumerate(begun)
            ]
            end = max(arrive) + wanted.transfer_ns
            for rank in range(wanted.ranks):
                if step < wanted.of(wanted.first_step, rank):
                    continue
                ahead = wanted.of(wanted.ahead_ns, rank)
                of_rank = {"correlation": step + 1, "device": rank}
                events[rank] += [
                    operation(
                        begun[rank] + ahead, arrive[rank] + ahead, **of_rank, name="gemm"
                    ),
                    operation(
                        arrive[rank] + ahead, end + ahead, **of_rank, name=wanted.collective
                    ),
                ]
                waiting[rank] += max(arrive) - arrive[rank]
                communication[rank] += end - arrive[rank]
            begun = [end] * wanted.ranks
        for rank in range(wanted.ranks):
            if step >= wanted.of(wanted.first_step, rank):
                ahead = wanted.of(wanted.ahead_ns, rank)
                wait = call(begun[rank] - 100_000 + ahead, begun[rank] + ahead, 0)
                events[rank].append(wait | {"name": "cudaEventSynchronize"})
        now = begun[0] + 30_000
    return Made(events, waiting, communication)


def pipeline(
    stages: int, steps: int, compute_ns: int = 400_000
) -> list[list[dict[str, Any]]]:
    """Stages of which one computes at a time: each receives, computes, and sends."""
    events: list[list[dict[str, Any]]] = [[] for _ in range(stages)]
    free = [0] * stages
    now = 1_000_000
    for step in range(steps):
        for stage in range(stages):
            receives, first = max(free[stage], 1000), 3 * step + 1
            sent = now + 10_000
            events[stage] += [
                span(receives - 900, receives, "execute_context_0(0)_generation_8(8)"),
                *(call(receives - 800 + 100 * n, receives - 750 + 100 * n, first + n) for n in range(3)),
                operation(receives, sent, correlation=first, device=stage, name=SEND_RECV),
                operation(sent, sent + compute_ns, correlation=first + 1, device=stage, name="gemm"),
                operation(sent + compute_ns, sent + compute_ns + 10_000, correlation=first + 2,
                          device=stage, name=SEND_RECV),
            ]  # fmt: skip
            free[stage] = sent + compute_ns + 20_000
            now = sent + compute_ns
    return events


def write(
    folder: Path,
    events: list[list[dict[str, Any]]],
    names: list[str] | None = None,
    **said: Any,
) -> Path:
    """A folder with a Kineto file for each rank; `said` is further metadata of each."""
    folder.mkdir(exist_ok=True)
    for rank, of_rank in enumerate(events):
        name = names[rank] if names else f"rank{rank}.json"
        metadata = {
            "baseTimeNanoseconds": BASE_NS,
            "distributedInfo": {"rank": rank, "world_size": len(events)},
        } | said
        text = json.dumps(document(of_rank, **metadata))
        (folder / name).write_text(text)
    return folder
