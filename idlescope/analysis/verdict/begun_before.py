"""Work that was launched before the recording began; where it is much, the rest tells.

A stream runs what it is given in the order of launches, so operations without a known launch that
come before all with one were launched before the recording.
"""

from __future__ import annotations

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.analysis.intervals import AFTER_EVERYTHING
from idlescope.analysis.steps.window import Window, WindowKind
from idlescope.analysis.view import DeviceView
from idlescope.trace.names.migrations import migrations
from idlescope.trace.table import Bool

FEWEST_LEFT = 50  # operations that still tell something
MUCH_PCT = 10.0  # of the operations: less needs no trimming


def begun_before(view: DeviceView) -> Bool:
    """Return which operations of a device were launched before the recording began.

    A stream without any operation whose launch is known tells nothing.
    """
    operations = view.operations
    linked = view.launches >= 0
    by_stream = Groups(operations.stream, int(operations.stream.max()) + 1)
    first_linked = by_stream.only(linked).first(operations.start[linked])
    stream_first = first_linked[operations.stream]
    launched = ~linked & ~migrations(operations, view.trace.names)
    stream_tells = stream_first < AFTER_EVERYTHING
    return np.asarray(launched & stream_tells & (operations.start < stream_first), np.bool_)


def rest(view: DeviceView, window: Window) -> tuple[int, int] | None:
    """Return what is left of a window without work that began before the recording, in ns.

    Returns None where there is little of it, or where little would be left.
    """
    before = begun_before(view)
    if window.kind != WindowKind.FIRST_LAST or 100 * before.sum() <= MUCH_PCT * before.size:
        return None
    start = int(view.operations.end[before].max())
    left = view.operations.start >= start
    return (start, window.end) if np.count_nonzero(left) >= FEWEST_LEFT else None
