"""What the scheduler did, in another thread or process, while a launching thread had nothing to do.

Only where that is beyond doubt: the launching thread does not schedule itself, and there is one
other thread, or one other process without calls to the device, that does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis.idle.host_labels import phase_label
from idlescope.analysis.idle.thread_spans import Layer
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct, without
from idlescope.trace.names.engines import IDLE, SCHEDULE, STEP
from idlescope.trace.table import Bool


def layers(view: DeviceView, thread: int) -> Iterator[Layer]:
    """Yield the phases of the scheduler that a launching thread waits for, if there is one."""
    ranges, names = view.trace.ranges, view.names
    scheduling = names.named(SCHEDULE)
    if not scheduling.any():
        return
    is_span = names.spans(ranges)
    schedulers = distinct(ranges.thread[is_span & scheduling[ranges.name]])
    if thread in schedulers:
        return
    threads = _waited_for(view, thread, schedulers)
    if not threads.any():
        return
    said = (names.phase >= 0) & ~names.named(STEP) & ~names.named(IDLE)
    rows = np.flatnonzero(is_span & threads[ranges.thread] & said[ranges.name])
    labels = tuple(
        phase_label(names, index, name) for index, name in enumerate(view.trace.names)
    )
    name = ranges.name[rows].astype(np.int64)
    yield Layer(ranges.start[rows], ranges.end[rows], name, labels)


def _waited_for(view: DeviceView, thread: int, schedulers: NDArray[np.int32]) -> Bool:
    """Return which threads a launching thread waits for: the scheduler's, where there is one."""
    trace = view.trace
    process = np.array([one.process for one in trace.threads], np.int64)
    waited_for = np.zeros(process.size, np.bool_)
    same = schedulers[process[schedulers] == process[thread]]
    if same.size == 1:
        waited_for[same] = True
        return waited_for
    calling = distinct(process[distinct(trace.calls.thread)])
    others = without(distinct(process[schedulers]), calling)
    if not same.size and others.size == 1:
        waited_for |= process == others[0]
    return waited_for
