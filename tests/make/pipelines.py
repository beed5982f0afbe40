"""Simulate a pipeline whose stages have different work, and say how long each stage waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.make.kineto_files import call, operation, span
from tests.make.rank_programs import Truth
from tests.make.ranks import SEND_RECV

TRANSFER_NS = 10_000
TOKENS_NS = 120_000  # from the end of a batch until the first stage may have it again
LAUNCH_NS = 8_000
SPAN = "execute_context_0(0)_generation_16(16)"


def uneven_pipeline(compute_ns: Sequence[int], rounds: int, batches: int) -> Truth:
    """Stages that take so long for a batch, with so many batches in flight.

    A stage receives, computes and sends; each transfer begins when both sides have come. The first
    stage gets a batch again once the last has its tokens, which go by the host.
    """
    stages = len(compute_ns)
    events: list[list[dict[str, Any]]] = [[] for _ in range(stages)]
    waiting, busy, communication = ([0] * stages for _ in range(3))
    first: list[int] = [0] * stages
    device_free, host_free = [1_000_000] * stages, [900_000] * stages
    sends: dict[
        tuple[int, int], tuple[int, int]
    ] = {}  # stage, job -> when it came, its call
    tokens: list[int] = []
    correlation = 0

    def communicated(stage: int, came: int, met: int, number: int) -> int:
        end = met + TRANSFER_NS
        made = operation(
            came, end, correlation=number, device=stage, name=SEND_RECV, stream=20
        )
        events[stage].append(made)
        waiting[stage] += met - came
        communication[stage] += end - came
        busy[stage] += end - came
        first[stage] = first[stage] or came
        return end

    for job in range(rounds * batches):
        for stage in range(stages):
            correlation += 3
            issued = host_free[stage] + 20_000
            if stage == 0 and job >= batches:
                issued = max(issued, tokens[job - batches])
            events[stage].append(span(issued - 15_000, issued + LAUNCH_NS - 2000, SPAN))
            events[stage] += [
                call(issued + 2000 * n, issued + 2000 * n + 1500, correlation + n)
                for n in range(3)
            ]
            host_free[stage] = issued + LAUNCH_NS
            now = max(device_free[stage], issued + 3000)
            if stage:
                sent, number = sends[stage - 1, job]
                met = max(sent, now)
                end = communicated(stage, now, met, correlation)
                device_free[stage - 1] = communicated(stage - 1, sent, met, number)
                now = end
            first[stage] = first[stage] or now
            done = now + compute_ns[stage]
            events[stage].append(
                operation(now, done, correlation=correlation + 1, device=stage, name="gemm")
            )
            busy[stage] += compute_ns[stage]
            device_free[stage] = done
            sends[stage, job] = done, correlation + 2
        tokens.append(done + TOKENS_NS)
        waits = call(host_free[-1] + 1000, max(done, host_free[-1]) + 5000, 0)
        events[-1].append(waits | {"name": "cudaEventSynchronize"})
        host_free[-1] = max(done, host_free[-1]) + 10_000
    window = [end - start for start, end in zip(first, device_free, strict=True)]
    return Truth(events, waiting, communication, busy, window)
