"""What each step of a batching loop costs the host and the device: what a replay starts from."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from idlescope.trace.table import Int64

# host work, in the order of a step
HOST_COLUMNS = ("lead", "issue", "resume", "rest", "after")


class StepCosts(Struct, frozen=True):
    """The costs of steps, one row per step in order, in ns. No column holds time spent waiting.

    The host's part is divided at the points at which host and device meet: the first compute
    launch (until then the device has nothing to do), the last one, and the arrival of the tokens;
    and at a wait for a part of the step, such as an `.item()`, behind which it launches the rest.
    """

    lead: Int64  # host work up to the end of the step's first compute launch
    issue: Int64  # host work from there to the end of the last compute launch; 0 with one graph
    resume: (
        Int64  # what of it follows the wait for a part of the step; 0 where there is none
    )
    rest: Int64  # host work after that which needs no token of the step: copies out, events
    after: Int64  # host work once the step's tokens are there
    latency: (
        Int64  # end of first launch to start of compute on a free device; may be negative
    )
    # copies on streams of their own, within `latency`, that compute waits for; they run in turn
    copies: Int64
    compute: (
        Int64  # kernels, copies on their streams, and gaps that are not the host's doing
    )
    reach: Int64  # start of compute until that part is done and the host has woken up; 0: no wait
    finish: Int64  # end of the last compute launch to the end of compute, at least
    tail: Int64  # end of compute until the tokens are on the host and it has woken up
    kernels: Int64  # when compute operations ran: `compute` without its gaps

    def __len__(self) -> int:
        return len(self.lead)

    @property
    def host(self) -> Int64:
        """Return all host work of each step, in ns."""
        return np.sum(
            [getattr(self, name) for name in HOST_COLUMNS], axis=0, dtype=np.int64
        )
