"""Which operations certainly ended when their records say: what follows them shows it.

Work that was in the stream's queue before an operation ended begins as soon as it has, and a call
that was waiting returns then. Work that was launched later begins whenever the host is ready, and
shows nothing.
"""

from __future__ import annotations

import numpy as np

from idlescope.analysis.intervals import AFTER_EVERYTHING
from idlescope.analysis.view import DeviceView
from idlescope.trace.table import Bool, Int64

AT_ONCE_NS = 20_000  # from the end of an operation to the next one's start in its stream
# From the end of what a call waits for until it returns, under a profiler.
WAKE_UP_NS = 1_000_000


def shown_to_end(view: DeviceView, rows: Int64) -> Bool:
    """Return for each of some operations of a device whether what follows shows when it ended."""
    ends = view.operations.end[rows]
    queued = [queued_work_begins(view, int(row)) for row in rows]
    return np.asarray(np.array(queued, np.bool_) | _wait_returns(view, ends), np.bool_)


def queued_work_begins(view: DeviceView, row: int) -> bool:
    """Return whether work that was queued behind an operation began as soon as it had ended."""
    operations = view.operations
    end = operations.end[row]
    first, last = np.searchsorted(operations.start, (end, end + AT_ONCE_NS))
    following = np.arange(first, last)
    following = following[operations.stream[following] == operations.stream[row]]
    launch_call = view.launches[following]
    issued = view.trace.calls.start[launch_call[launch_call >= 0]]
    return bool((issued < end - AT_ONCE_NS).any())


def _wait_returns(view: DeviceView, ends: Int64) -> Bool:
    """Return for each time whether a call that was waiting returned soon after it."""
    calls = view.trace.calls
    waits = np.flatnonzero(view.waits)
    waits = waits[np.argsort(calls.end[waits], kind="stable")]
    first = np.searchsorted(calls.end[waits], ends)
    returned = np.append(calls.end[waits], AFTER_EVERYTHING)[first]
    began = np.append(calls.start[waits], AFTER_EVERYTHING)[first]
    return np.asarray((began < ends) & (returned - ends <= WAKE_UP_NS), np.bool_)
