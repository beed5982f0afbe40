"""Which call launched each operation: the two meet by process and correlation id."""

from __future__ import annotations

import numpy as np

from idlescope.trace.model import Operations, Trace
from idlescope.trace.table import Int64

NOT_CAPTURED = -1  # in place of a row of Trace.calls


def link(trace: Trace, operations: Operations) -> Int64:
    """Return for each operation the row of `trace.calls` that launched it; -1: not captured.

    Correlation ids are unique within a process only. Where a profiler wrote both the runtime's and
    the driver's record of one call, the record that starts first counts; of equals the one that
    ends first.
    """
    calls = trace.calls
    process_of_device, process_of_thread = (
        trace.process_of_device,
        trace.process_of_thread,
    )

    # One integer key for each pair of process and correlation id, of calls and operations alike.
    ids = np.concatenate((operations.correlation, calls.correlation))
    _, codes = np.unique(ids, return_inverse=True)
    codes_per_process = int(codes.max(initial=0)) + 1
    operation_code, call_code = np.split(codes, [len(operations)])
    operation_key = (
        process_of_device[operations.device] * codes_per_process + operation_code
    )
    call_key = process_of_thread[calls.thread] * codes_per_process + call_code

    # The calls that launch anything, by key; of equal keys the first to start comes first, of those
    # the first to end.
    launching = np.flatnonzero(calls.correlation != 0)
    order = (calls.end[launching], calls.start[launching], call_key[launching])
    launching = launching[np.lexsort(order)]
    keys = call_key[launching]

    position = np.searchsorted(keys, operation_key, "left")
    found = position < keys.size
    found &= operations.correlation != 0
    found[found] = keys[position[found]] == operation_key[found]
    linked = np.full(len(operations), NOT_CAPTURED, np.int64)
    linked[found] = launching[position[found]]
    return linked
