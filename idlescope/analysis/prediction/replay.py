"""A pipeline of a given depth that steps are sent through, by the rules of the engine's loop.

The host launches step N once it has prepared it, with up to `depth` steps in flight. Then it waits
for the tokens of the oldest step in flight and takes them in. The device computes step after step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.hardware.latencies import SUCCESSION_NS
from idlescope.trace.table import Int64


@dataclass(frozen=True)
class Replayed:
    """When each step was done, in ns from the start of the first step's host work."""

    finished: Int64  # the host has taken in the step's tokens
    start: Int64  # of the step's compute
    end: Int64  # of the step's compute

    @property
    def total_ns(self) -> int:
        """Return the time that all steps take."""
        return int(self.finished[-1])

    @property
    def step_ns(self) -> float:
        """Return the mean time from the end of one step to that of the next on the device."""
        return float(self.end[-1] - self.end[0]) / (self.end.size - 1)


def replay(costs: StepCosts, depth: int, needs: Int64 | None = None) -> Replayed:
    """Send steps through a pipeline of `depth` steps in flight.

    `needs` has one entry per step: the step whose tokens must be taken in before this one can be
    formed, or -1. Most steps need none: what the tokens are is not asked, only which requests go
    on, and that is known beforehand.
    """
    no_needs = np.full(len(costs), -1, np.int64)
    steps = zip(*_columns(costs, no_needs if needs is None else needs), strict=True)
    # Steps in flight, oldest first: when their tokens are there, and the host work left then.
    in_flight: deque[tuple[int, int]] = deque()
    finished: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    host_free = 0
    copies_done = device_free = -SUCCESSION_NS  # so that the first step succeeds none
    for lead, issue, rest, after, latency, copies, compute, finish, tail, need in steps:
        # A step that needs tokens which are not there yet drains the pipeline up to them.
        while len(finished) <= need:
            tokens_there, work_left = in_flight.popleft()
            host_free = max(host_free, tokens_there) + work_left
            finished.append(host_free)
        # The first launch: compute starts once it has arrived, its copies are done and the device
        # is free, and ends no earlier than the last launch allows.
        host_free += lead
        copies_done = max(host_free + latency, copies_done + copies)
        compute_start = max(copies_done, device_free + SUCCESSION_NS)
        host_free += issue
        device_free = max(compute_start + compute, host_free + finish)
        host_free += rest
        starts.append(compute_start)
        ends.append(device_free)
        in_flight.append((device_free + tail, after))
        if len(in_flight) == depth:
            tokens_there, work_left = in_flight.popleft()
            host_free = max(host_free, tokens_there) + work_left
            finished.append(host_free)
    # The last steps drain.
    for tokens_there, work_left in in_flight:
        host_free = max(host_free, tokens_there) + work_left
        finished.append(host_free)
    return Replayed(
        finished=np.array(finished, np.int64),
        start=np.array(starts, np.int64),
        end=np.array(ends, np.int64),
    )


def _columns(costs: StepCosts, needs: Int64) -> list[list[int]]:
    """Return the columns that a replay reads as Python integers: several times faster to walk."""
    columns = (
        costs.lead,
        costs.issue,
        costs.rest,
        costs.after,
        costs.latency,
        costs.copies,
        costs.compute,
        costs.finish,
        costs.tail,
        needs,
    )
    return [column.tolist() for column in columns]
