"""When the host waits for the device: synchronising calls, and copies that return only once they are done."""

from __future__ import annotations

import numpy as np

from idlescope.trace.model import OperationKind, Trace
from idlescope.trace.names.calls import synchronising
from idlescope.trace.table import Bool, Int64

# Copies of memory that is not pinned; ROCm's "Host" can be either.
_UNPINNED = ("Pageable", "Host")


def waiting(trace: Trace, launches: Int64) -> Bool:
    """Return for each call whether the host waits for the device in it; `launches` is the `link` of all operations.

    By name, or because it started a copy of memory that is not pinned and returned only when the copy had ended: such
    a call blocks, whatever it is called.
    """
    if not len(trace.calls):
        return np.empty(0, np.bool_)
    waits = synchronising(trace.names)[trace.calls.name]
    waits[blocking_copies(trace, launches)] = True
    return waits


def blocking_copies(trace: Trace, launches: Int64) -> Int64:
    """Return the calls that started a copy of memory that is not pinned and waited for its end."""
    operations = trace.operations
    unpinned = np.array([any(word in name for word in _UNPINNED) for name in trace.names], np.bool_)
    if not len(operations):
        return np.empty(0, np.int64)
    copies = np.flatnonzero(
        (operations.kind == OperationKind.MEMCPY) & unpinned[operations.name] & (launches >= 0)
    )
    call = launches[copies]
    return np.unique(call[trace.calls.end[call] >= operations.end[copies]])
