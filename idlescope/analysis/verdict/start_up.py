"""A process that starts up in the recording: where that is much of its idle time, the rest tells.

Loading, trying out a model and capturing graphs come before serving, once. What shows it is the
capture of graphs that more steps follow than there are between captures: an engine that captures
all along does it for its steps.
"""

from __future__ import annotations

import numpy as np

from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.batching import ENOUGH_STEPS
from idlescope.analysis.steps.find import Division
from idlescope.analysis.steps.window import Window, WindowKind
from idlescope.analysis.verdict.begun_before import FEWEST_LEFT
from idlescope.analysis.view import DeviceView
from idlescope.trace.names.calls import CAPTURE, matching
from idlescope.trace.table import Int64

MATTERS_PCT = 10.0  # of idle: less needs no trimming


def rest(
    view: DeviceView, window: Window, division: Division, gaps: Gaps
) -> tuple[int, int] | None:
    """Return what is left of a window from the first step after the start on, in ns.

    `division` are the steps of the engine. Returns None where there is no start in the recording,
    where it holds little of the idle time, or where little would be left.
    """
    captures = _captures(view)
    if window.kind != WindowKind.FIRST_LAST or not captures.size:
        return None
    steps = division.host
    served = steps.step[steps.start >= captures.max()]
    amid_captures = np.count_nonzero(steps.start >= captures.min()) - served.size
    if served.size < max(ENOUGH_STEPS, amid_captures):
        return None
    operations = view.operations.start[np.isin(division.step, served)]
    if operations.size < FEWEST_LEFT:
        return None
    start = int(operations.min())
    idle_before = np.clip(np.minimum(gaps.end, start) - gaps.start, 0, None)
    if percent(int(idle_before.sum()), int(gaps.length.sum())) < MATTERS_PCT:
        return None
    return start, window.end


def _captures(view: DeviceView) -> Int64:
    """Return when each call that captures or makes a graph ended."""
    trace = view.trace
    captures = matching(CAPTURE, trace.names)[trace.calls.name]
    return trace.calls.end[captures & trace.calls_of(view.process)]
