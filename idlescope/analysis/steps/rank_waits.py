"""Spans in which the host waits for other ranks, or hands them what they wait for: no host work."""

from __future__ import annotations

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.trace.model import Ranges, Trace
from idlescope.trace.names.engines import RANK_WAIT
from idlescope.trace.names.span_names import SpanNames


def rank_waits(trace: Trace, names: SpanNames) -> Ranges:
    """Return the spans of a trace in which a thread waits for other ranks."""
    waits = names.named(RANK_WAIT)
    if not waits.any():
        return Ranges.empty()
    ranges = trace.ranges
    return ranges.take(names.spans(ranges) & waits[ranges.name])


def times_of(spans: Ranges, thread: int) -> Intervals:
    """Return when a thread is in some spans: disjoint intervals."""
    own = np.flatnonzero(spans.thread == thread)
    return intervals.union(spans.start[own], spans.end[own])
