"""Calls made while a stream was captured into a CUDA graph: what they launch does not run."""

from __future__ import annotations

import numpy as np

from idlescope.trace.model import Trace
from idlescope.trace.names.calls import CAPTURE
from idlescope.trace.table import Bool, Int64


def captured(trace: Trace, launching: Bool) -> Bool:
    """Return which calls were made while a stream was captured: one entry per call.

    `launching` says which calls to ask about. Where only the beginnings or only the ends of
    captures are in the trace, one lasts to its end or from its beginning.
    """
    calls = trace.calls
    made_in_capture = np.zeros(len(calls), np.bool_)
    launches = np.flatnonzero(launching)
    begins = _capture_calls(trace, "StreamBeginCapture")
    ends = _capture_calls(trace, "StreamEndCapture")
    if not launches.size or (not begins.size and not ends.size):
        return made_in_capture
    if not begins.size:
        begins = np.array([calls.start.min()])
    if not ends.size:
        ends = np.array([calls.end.max()])

    # The capture begun last before each launch, and the first end after that beginning.
    launched = calls.start[launches]
    capture = np.searchsorted(begins, launched, "right") - 1
    begin = begins[np.maximum(capture, 0)]
    following = np.searchsorted(ends, begin)
    end = ends[np.minimum(following, ends.size - 1)]
    made_in_capture[launches] = (capture >= 0) & (launched <= end)
    return made_in_capture


def _capture_calls(trace: Trace, name: str) -> Int64:
    """Return when captures of streams begin, or end: the starts of the calls, ascending."""
    matches = [CAPTURE.search(call_name) for call_name in trace.names]
    is_named = [match is not None and match[1] == name for match in matches]
    named = np.array(is_named, np.bool_)
    calls = trace.calls.take(named[trace.calls.name])
    return np.sort(calls.start)
