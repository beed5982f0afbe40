"""Which step each wait of the launching thread was for: what tells synchronous from asynchronous.

A wait after the launch of step N that lasts until N ends was for N: the loop is synchronous. One
that returns while N still runs was for an older step: the loop is asynchronous, however slow its
host is. One that returns when a part of N has ended, and N still runs, waits inside the step.

Waits of other threads tell nothing: the output thread of tensor-parallel vLLM waits for copies that
the loop does not need.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups, by_key
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.view import DeviceView
from idlescope.trace.table import Bool, Int64

# A small kernel of a step, such as the copy of its tokens, may follow what the host waited for.
NEAR_END = 0.1  # of a step's time on the device
# A wait that returned sooner than this did not wait: what it asked for had ended before.
BLOCKED_NS = 20_000
# A wait of this share of a step's time on the device is for something on it.
LONG = 0.1
# From the end of what a wait was for until it returns: a blocking event took up to 0.42 ms on a
# lent H200 (tests/gpu/latencies.py).
WAKE_UP_NS = 500_000


class StepWaits(Struct, frozen=True):
    """What the waits of the launching thread were for. One entry per step, or rows of calls."""

    own: Bool  # a wait after the step's launch lasted until its end
    older: (
        Bool  # a wait after its launch returned while it ran, and was not for a part of it
    )
    own_calls: Int64  # rows of Trace.calls: the waits that lasted until a step ended
    inside_calls: (
        Int64  # rows of Trace.calls: waits for a part of a step that went on running
    )

    @property
    def told(self) -> int:
        """Return how many steps tell their batching."""
        return int((self.own | self.older).sum())

    @property
    def for_older(self) -> int:
        """Return how many steps tell that the host waited for an older one."""
        return int((self.older & ~self.own).sum())


def step_waits(view: DeviceView, steps: Steps, step_of_operation: Int64) -> StepWaits:
    """Return which step each wait of the launching thread was for.

    `step_of_operation` is that of each of the device's operations; -1: none.
    """
    calls, none = view.trace.calls, np.empty(0, np.int64)
    told_nothing = np.zeros(len(steps), np.bool_)
    waits = np.flatnonzero(view.waits & (calls.thread == view.launching_thread))
    known = np.flatnonzero(steps.has_launch & (steps.operations > 0))
    if not waits.size or not known.size:
        return StepWaits(told_nothing, told_nothing, none, none)

    # The step that was launched last when each wait began.
    order = known[np.argsort(steps.launched[known], kind="stable")]
    position = np.searchsorted(steps.launched[order], calls.start[waits], "right") - 1
    waits, position = waits[position >= 0], position[position >= 0]
    step = order[position]

    # A wait tells nothing where the step was over, or nearly, before it began.
    last_part = steps.computed - (NEAR_END * steps.device).astype(np.int64)
    running = calls.start[waits] < last_part[step]
    waits, step = waits[running], step[running]
    returned = calls.end[waits]
    lasted = returned >= last_part[step]

    # One that returned early was for a part of the step where nothing older had just ended, unless
    # it was short and nothing more of the step is launched behind it: a slow host's.
    blocked_ns = returned - calls.start[waits]
    is_long = blocked_ns >= (LONG * steps.device[step]).astype(np.int64)
    goes_on = _last_launch(view, steps, step_of_operation)[step] >= returned
    for_part = (
        ~lasted
        & (blocked_ns >= BLOCKED_NS)
        & (is_long | goes_on)
        & ~_older_just_ended(view, steps, step_of_operation, step, returned)
    )
    # A short one that returned just before the end happened to fall there.
    own = lasted & (is_long | (returned >= steps.computed[step]))

    by_step = Groups(step, len(steps))
    return StepWaits(
        own=by_step.only(own).occupied(),
        older=by_step.only(~lasted & ~for_part).occupied(),
        own_calls=waits[own],
        inside_calls=waits[for_part],
    )


def _last_launch(view: DeviceView, steps: Steps, step_of_operation: Int64) -> Int64:
    """Return when the last call began that launched something of each step."""
    by_step, known = by_key(steps.number, step_of_operation)
    call = view.launches[known]
    launched = by_step.only(call >= 0)
    return launched.last(view.trace.calls.start[call[call >= 0]])


def _older_just_ended(
    view: DeviceView, steps: Steps, step_of_operation: Int64, step: Int64, times: Int64
) -> Bool:
    """Return for each time whether an operation that is not of the given step had just ended."""
    by_end = np.argsort(view.operations.end, kind="stable")
    ends, owner = view.operations.end[by_end], step_of_operation[by_end]
    first = np.searchsorted(ends, times - WAKE_UP_NS)
    last = np.searchsorted(ends, times, "right")
    wait, row = intervals.spread(first, last - first)
    another = owner[row] != steps.number[step[wait]]
    return Groups(wait, times.size).only(another).occupied()
