"""A pipeline of a given depth that steps are sent through, by the rules of the engine's loop.

The host launches step N once it has prepared it, with up to `depth` steps in flight; where a step
waits for a part of itself, it launches the rest behind that. Then it waits for the tokens of the
oldest step in flight and takes them in. The device computes step after step.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.hardware.latencies import SUCCESSION_NS
from idlescope.trace.table import Int64

STEPS_AT_ONCE = 1 << 15


class Replayed(Struct, frozen=True):
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
    if needs is None:
        needs = np.full(len(costs), -1, np.int64)
    # Steps in flight, oldest first: when their tokens are there, and the host work left then.
    in_flight: deque[tuple[int, int]] = deque()
    finished, starts, ends = array("q"), array("q"), array("q")
    host_free = 0
    copies_done = device_free = -SUCCESSION_NS  # so that the first step succeeds none
    for (
        lead,
        issue,
        resume,
        rest,
        after,
        latency,
        copies,
        compute,
        reach,
        finish,
        tail,
        need,
    ) in _rows(costs, needs):
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
        if reach:
            host_free = max(host_free, compute_start + reach)
        host_free += resume
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
        finished=np.asarray(finished, np.int64),
        start=np.asarray(starts, np.int64),
        end=np.asarray(ends, np.int64),
    )


def _rows(costs: StepCosts, needs: Int64) -> Iterator[tuple[int, ...]]:
    """Yield what a replay reads of each step as Python integers: several times faster to walk.

    They take five times the room of the columns, so only some steps have them at once.
    """
    columns = (
        costs.lead,
        costs.issue,
        costs.resume,
        costs.rest,
        costs.after,
        costs.latency,
        costs.copies,
        costs.compute,
        costs.reach,
        costs.finish,
        costs.tail,
        needs,
    )
    for first in range(0, len(costs), STEPS_AT_ONCE):
        some = slice(first, first + STEPS_AT_ONCE)
        yield from zip(*(column[some].tolist() for column in columns), strict=True)
