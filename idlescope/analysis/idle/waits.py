"""When the host waits for the device: synchronising calls, and copies that block."""

from __future__ import annotations

import numpy as np

from idlescope.trace.distinct import among, distinct
from idlescope.trace.model import OperationKind, Trace
from idlescope.trace.names.calls import synchronising
from idlescope.trace.table import Bool, Int64

# In the names of copies of memory that is not pinned; ROCm's "Host" can be either.
_UNPINNED = ("Pageable", "Host")


def waiting(trace: Trace, launches: Int64) -> Bool:
    """Return for each call whether the host waits for the device in it.

    It waits where the call's name says so (`cudaStreamSynchronize`), and in whatever call started a
    copy of unpinned memory and returned only when the copy had ended. `launches` is the `link` of
    all operations of the trace.
    """
    if not len(trace.calls):
        return np.empty(0, np.bool_)
    waits = synchronising(trace.names)[trace.calls.name]
    waits[blocking_copies(trace, launches)] = True
    return waits


def blocking_copies(trace: Trace, launches: Int64) -> Int64:
    """Return the rows of calls that started a copy of unpinned memory and waited for its end."""
    operations = trace.operations
    if not len(operations):
        return np.empty(0, np.int64)
    is_copy = operations.kind == OperationKind.MEMCPY
    copies = np.flatnonzero(is_copy & (launches >= 0))
    unpinned = [
        code
        for code in distinct(operations.name[copies]).tolist()
        if any(word in trace.names[code] for word in _UNPINNED)
    ]
    copies = copies[among(operations.name[copies], np.array(unpinned, np.int32))]
    call = launches[copies]
    returned = trace.calls.end[call]
    blocking = returned >= operations.end[copies]
    return distinct(call[blocking])
