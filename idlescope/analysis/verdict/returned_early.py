"""Which operation a call certainly waited for: it cannot have returned before that had ended."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from idlescope.analysis.intervals import BEFORE_EVERYTHING
from idlescope.analysis.steps.waited_for import BLOCKED_NS, WAKE_UP_NS
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import OperationKind
from idlescope.trace.names.calls import TO_HOST, matching
from idlescope.trace.table import Bool, Int64

_WHOLE_DEVICE = re.compile(r"^(cuda|hip)DeviceSynchronize|^(cu|hip)CtxSynchronize")
_STREAM_OR_EVENT = re.compile(r"^(cuda|hip|cu)(Stream|Event)Synchronize")
_EVENT = re.compile(r"^(cuda|hip|cu)EventSynchronize")
_RECORD = re.compile(r"^(cuda|hip|cu)EventRecord")


class Waited(NamedTuple):
    """One row per pair of an operation and a call that waited for it."""

    operation: Int64  # row of the device's operations
    returned: Int64  # when the call did, ns


def waits_for_operations(view: DeviceView) -> Waited:
    """Return the operations for which some call certainly waited.

    A synchronisation of the whole device waits for all that was launched before it, of which the
    last to end tells. One of a stream that directly follows a copy to the host waits for that copy,
    as does one of an event that is recorded between them; without that, an event may be one of
    another stream. None does that may have been for an older copy, as in an asynchronous
    loop: it hardly lasted, or another copy to the host had just ended when it returned.
    """
    whole, copies = _whole_device(view), _copies(view)
    return Waited(
        np.concatenate((whole.operation, copies.operation)),
        np.concatenate((whole.returned, copies.returned)),
    )


def _whole_device(view: DeviceView) -> Waited:
    trace, calls = view.trace, view.trace.calls
    of_device = matching(_WHOLE_DEVICE, trace.names)[calls.name]
    waits = np.flatnonzero(of_device & trace.calls_of(view.process))
    if not waits.size:
        return Waited(waits, waits)
    linked = np.flatnonzero(view.launches >= 0)
    launched = calls.start[view.launches[linked]]
    by_launch = np.argsort(launched, kind="stable")
    operations = linked[by_launch]
    before = np.searchsorted(launched[by_launch], calls.start[waits])
    any_before = before > 0
    last = _last_to_end(view.operations.end[operations])
    waited_for = operations[last[before[any_before] - 1]]
    return Waited(waited_for, calls.end[waits[any_before]])


def _last_to_end(ends: Int64) -> Int64:
    """Return for each entry which of those up to it ends last."""
    reach = np.maximum.accumulate(ends)
    grows = np.ones(ends.size, np.bool_)
    grows[1:] = reach[1:] > reach[:-1]
    row = np.where(grows, np.arange(ends.size), 0)
    return np.asarray(np.maximum.accumulate(row), np.int64)


def _copies(view: DeviceView) -> Waited:
    trace, calls, operations = view.trace, view.trace.calls, view.operations
    to_host = matching(TO_HOST, trace.names)[operations.name]
    to_host &= operations.kind == OperationKind.MEMCPY
    copies = np.flatnonzero(to_host & (view.launches >= 0))
    if not copies.size:
        return Waited(copies, copies)
    order = np.lexsort((calls.start, calls.thread))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    last = order.size - 1
    call = view.launches[copies]
    following = order[np.minimum(place[call] + 1, last)]
    records = matching(_RECORD, trace.names)[calls.name[following]]
    after_record = order[np.minimum(place[call] + 2, last)]
    waiting = np.where(records, after_record, following)
    waits = matching(_STREAM_OR_EVENT, trace.names)[calls.name[waiting]]
    waits &= records | ~matching(_EVENT, trace.names)[calls.name[waiting]]
    same_thread = calls.thread[waiting] == calls.thread[call]
    certain = waits & same_thread & (calls.start[waiting] >= calls.start[call])
    certain &= calls.end[waiting] - calls.start[waiting] >= BLOCKED_NS
    returned = calls.end[waiting]
    # The older one may have been launched before the recording began, or end before the window.
    certain &= returned - WAKE_UP_NS >= operations.start[0]
    certain &= ~_older_just_ended(operations.end[to_host], operations.end[copies], returned)
    return Waited(copies[certain], returned[certain])


def _older_just_ended(all_ends: Int64, copy_end: Int64, returned: Int64) -> Bool:
    """Return for each copy and its wait whether another copy had ended just before the wait did."""
    ends = np.sort(all_ends)
    last = np.searchsorted(ends, returned, "right") - 1
    ended = np.append(ends, BEFORE_EVERYTHING)[last]  # -1, the appended one: none had
    return (ended != copy_end) & (returned - WAKE_UP_NS <= ended)
