"""Which call launched each operation: the two meet by process and correlation id."""

from __future__ import annotations

import numpy as np

from idlescope.trace.model import Operations, Trace
from idlescope.trace.table import Int64

NOT_CAPTURED = -1  # in place of a row of Trace.calls


def link(trace: Trace, operations: Operations) -> Int64:
    """Return for each operation the row of `trace.calls` that launched it; -1 where it was not captured.

    Correlation ids are unique within a process only. Where a profiler wrote both the runtime's and
    the driver's record of one call, the record that starts first counts; of equals the one that ends
    first.
    """
    calls = trace.calls
    device_process = np.array([device.process for device in trace.devices], np.int64)
    thread_process = np.array([thread.process for thread in trace.threads], np.int64)

    # One integer key for each pair of process and correlation id, the same for calls and operations.
    ids = np.concatenate((operations.correlation, calls.correlation))
    _, codes = np.unique(ids, return_inverse=True)
    codes_per_process = int(codes.max(initial=0)) + 1
    operation_key = device_process[operations.device] * codes_per_process + codes[: len(operations)]
    call_key = thread_process[calls.thread] * codes_per_process + codes[len(operations) :]

    # The calls that launch anything, by key; of equal keys the first to start comes first, of those
    # the first to end.
    launching = np.flatnonzero(calls.correlation != 0)
    launching = launching[
        np.lexsort((calls.end[launching], calls.start[launching], call_key[launching]))
    ]
    sorted_keys = call_key[launching]

    position = np.searchsorted(sorted_keys, operation_key, "left")
    found = (position < sorted_keys.size) & (operations.correlation != 0)
    found[found] = sorted_keys[position[found]] == operation_key[found]
    linked = np.full(len(operations), NOT_CAPTURED, np.int64)
    linked[found] = launching[position[found]]
    return linked
