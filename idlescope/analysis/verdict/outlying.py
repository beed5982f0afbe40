"""Operations that last so much longer than all like them that their durations must be corrupt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis.grouping import by_value
from idlescope.analysis.verdict.followed import queued_work_begins, shown_to_end
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Trace
from idlescope.trace.table import Int64

LONG_NS = 100_000  # what is shorter moves no figure
# Times as long as any other operation of its name, where no work that was queued behind it shows
# when it ended: a GPU that others use, too, runs nothing of this process for some ms at a time.
OUTLYING = 100
# The same where no call that waited shows it, either: 22 times was met in 46 real traces.
OUTLYING_UNSHOWN = 40
# An operation of which nothing shows when it ended, so many times as long as any other: in these
# traces not one lasted for twice as long.
ALL_OUTLYING = 5
ENOUGH = 20  # operations, to tell what is usual
FEWEST_ALIKE = 5
# How much later than everything else the last operation of a recording may end: a profiler that
# stops waits for the device, and that wait is in the recording.
LAST_NS = 1_000_000
LAST_OUTLYING = 10  # times as long as any other of its name: two signs need less of each


def outlying(view: DeviceView) -> Int64:
    """Return the operations of a device that outlast all like them, ascending.

    What communicates waits for other devices: it counts only where it is the last of all to end.
    """
    return distinct(_of_their_name(view), _of_all(view), _last_to_end(view))


def _of_their_name(view: DeviceView) -> Int64:
    """Return the operations that lasted far longer than any other of their name."""
    operations = view.operations
    lengths = operations.end - operations.start
    is_long = (lengths > LONG_NS) & (view.collective == 0)
    certain, doubtful = [], []
    for row in _longest_by_far(np.flatnonzero(is_long), operations.name, lengths):
        alike = np.flatnonzero(operations.name == operations.name[row])
        others = lengths[alike[alike != row]]
        if others.size < FEWEST_ALIKE:
            continue
        if lengths[row] > OUTLYING * others.max():
            certain.append(row)
        elif lengths[row] > OUTLYING_UNSHOWN * others.max():
            doubtful.append(row)
    unqueued = [row for row in certain if not queued_work_begins(view, row)]
    unshown = _unshown(view, np.array(doubtful, np.int64))
    return distinct(np.array(unqueued, np.int64), unshown)


def _of_all(view: DeviceView) -> Int64:
    """Return the operation that lasted far longer than any other, if nothing shows it; else none.

    Where there are two such, long ones are usual here.
    """
    operations = view.operations
    if len(operations) < ENOUGH or not len(view.trace.calls):
        return np.empty(0, np.int64)
    lengths = operations.end - operations.start
    second_ns, longest_ns = np.partition(lengths, -2)[-2:]
    if longest_ns <= max(ALL_OUTLYING * second_ns, LONG_NS):
        return np.empty(0, np.int64)
    longest = np.flatnonzero(lengths == longest_ns)
    return _unshown(view, longest[view.collective[longest] == 0])


def _unshown(view: DeviceView, rows: Int64) -> Int64:
    """Return those of some operations of which nothing that follows shows when they ended."""
    return rows[~shown_to_end(view, rows)] if rows.size else rows


def _longest_by_far(rows: Int64, name: NDArray[np.int32], lengths: Int64) -> list[int]:
    """Return, of each name, the longest of some operations if none of them comes near."""
    _, by_name = by_value(name[rows])
    longest = by_name.last(lengths[rows])[by_name.row]
    is_longest = lengths[rows] == longest
    second = by_name.last(np.where(is_longest, 0, lengths[rows]), none=0)[by_name.row]
    by_far = is_longest & (longest > OUTLYING_UNSHOWN * second)
    return [int(row) for row in rows[by_far]]


def _last_to_end(view: DeviceView) -> Int64:
    """Return the operation that ends long after all else, if it outlasts those like it; else none.

    Like it are those of its name, or all of the device's where it is the only one so called.
    """
    operations = view.operations
    none = np.empty(0, np.int64)
    if len(operations) <= FEWEST_ALIKE or not len(view.trace.calls):
        return none
    last = int(operations.end.argmax())
    if operations.end[last] - _rest_ended(view.trace) <= LAST_NS:
        return none
    lengths = operations.end - operations.start
    alike = operations.name == operations.name[last]
    alike[last] = False
    others = lengths[alike] if alike.any() else np.delete(lengths, last)
    is_outlying = lengths[last] > max(LAST_OUTLYING * others.max(), LONG_NS)
    return np.array([last]) if is_outlying else none


def _rest_ended(trace: Trace) -> int:
    """Return when the last record but one ended, of whatever kind."""
    ends = [table.end.max() for table in (trace.calls, trace.ranges) if len(table)]
    ends.append(np.partition(trace.operations.end, -2)[-2])
    return int(max(ends))
