"""A process that starts up in the recording: where that is much of its idle time, the rest tells.

Loading, trying out a model and capturing graphs come before serving, once. What shows it is the
capture of graphs, each of which is tried once or not at all until then: an engine that replays them
between captures, and captures all along, does it for its steps.
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

MATTERS_PCT = 10.0  # of idle: less needs no trimming


def rest(
    view: DeviceView, window: Window, division: Division, gaps: Gaps
) -> tuple[int, int] | None:
    """Return what is left of a window from the first step after the start on, in ns.

    `division` are the steps of the engine. Returns None where there is no start in the recording,
    where it holds little of the idle time, or where little would be left.
    """
    calls = view.trace.calls
    captures = matching(CAPTURE, view.trace.names)[calls.name]
    captures &= view.trace.calls_of(view.process)
    if window.kind != WindowKind.FIRST_LAST or not captures.any():
        return None
    # A capture is begun and ended, and its graph is made: in as many calls of each name.
    graphs = np.bincount(calls.name[captures]).max()
    steps, end = division.host, calls.end[captures]
    served = steps.step[steps.start >= end.max()]
    replayed_amid = np.count_nonzero(steps.start >= end.min()) - served.size - graphs
    if served.size < max(ENOUGH_STEPS, replayed_amid):
        return None
    operations = view.operations.start[np.isin(division.step, served)]
    if operations.size < FEWEST_LEFT:
        return None
    start = int(operations.min())
    idle_before = np.clip(np.minimum(gaps.end, start) - gaps.start, 0, None)
    if percent(int(idle_before.sum()), int(gaps.length.sum())) < MATTERS_PCT:
        return None
    return start, window.end
