"""A pipeline of a given depth that steps are sent through: who waits for whom, as in the engine's loop.

The host launches step N once it has prepared it, with up to `depth` steps in flight; then it waits for the tokens of
the oldest one and takes them in. The device computes step after step.
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
    """When each step was done, nanoseconds from the start of the first one's host work."""

    finished: Int64  # its tokens are taken in
    start: Int64  # of its compute
    end: Int64

    @property
    def total_ns(self) -> int:
        """Return the time that all of it takes."""
        return int(self.finished[-1])

    @property
    def step_ns(self) -> float:
        """Return the time from one step to the next on the device."""
        return float(self.end[-1] - self.end[0]) / (self.end.size - 1)


def replay(costs: StepCosts, depth: int, needs: Int64 | None = None) -> Replayed:
    """Send steps through a pipeline; `needs` is for each the step whose tokens are taken in before it is formed, or -1.

    That is none for most: what the tokens are is not asked, only which requests go on, and that is known beforehand.
    """
    host, free, copied, done = 0, -SUCCESSION_NS, -SUCCESSION_NS, 0
    waiting: deque[tuple[int, int]] = (
        deque()
    )  # of the steps in flight: when its tokens are there, and work then left
    finished, starts, ends = [], [], []
    c = costs
    columns = (c.lead, c.issue, c.rest, c.after, c.latency, c.copies, c.compute, c.finish, c.tail,
               np.full(len(c), -1) if needs is None else needs)  # fmt: skip
    for lead, issue, rest, after, latency, copies, compute, finish, tail, need in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        while done <= need:
            there, work = waiting.popleft()
            host = max(host, there) + work
            finished.append(host)
            done += 1
        host += lead
        copied = max(host + latency, copied + copies)
        start = max(copied, free + SUCCESSION_NS)
        host += issue
        free = max(start + compute, host + finish)
        host += rest
        starts.append(start)
        ends.append(free)
        waiting.append((free + tail, after))
        if len(waiting) == depth:
            there, work = waiting.popleft()
            host = max(host, there) + work
            finished.append(host)
            done += 1
    for there, work in waiting:
        host = max(host, there) + work
        finished.append(host)
    return Replayed(
        np.array(finished, np.int64), np.array(starts, np.int64), np.array(ends, np.int64)
    )
