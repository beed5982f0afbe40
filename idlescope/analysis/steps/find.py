"""How the work of a trace divides into steps of the batching loop.

A step is one iteration of the loop: one forward pass, and what the host does for it. Where a recording does not name
them, steps are found, in this order, by the spans of a known engine, torch.profiler's `ProfilerStep#`, the launches of
CUDA graphs, or the rhythm of the calls that wait for the device; an operation belongs to the step in which it was
launched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from idlescope.analysis.view import DeviceView
from idlescope.trace.model import RangeKind, Ranges, Trace
from idlescope.trace.names.calls import GRAPH_LAUNCH, LAUNCH, matching
from idlescope.trace.names.engines import (
    PROFILER_STEP,
    STEP_MARKERS,
    WHOLE_FORWARD,
    WORKING,
)
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64

RECORDED = "recorded"  # how steps of our own recordings are found
ENOUGH = 3  # launches or waits that make a rhythm


@dataclass(frozen=True)
class Division:
    """The host's time, divided into steps, before anything is measured."""

    found: str
    host: Ranges  # `step` is the number of the step that each range is host work for
    step: Int64  # step of each operation of the device; -1: none


def find(view: DeviceView) -> Division:
    """Return how the work of one device divides into steps."""
    trace, launches = view.trace, view.launches
    host = _annotations(trace, view.process)
    host = host.take(host.step >= 0)
    if len(host) and (view.operations.step >= 0).any():
        return Division(RECORDED, host, view.operations.step.astype(np.int64))
    found, host = find_by_names(trace, view.process, view.names)
    if not len(host):
        found, host = _by_calls(trace, launches, view.waits)
        host = host.take(np.argsort(host.start, kind="stable"))
    return Division(found, host, _step_of_launch(trace, host, launches))


def find_by_names(trace: Trace, process: int, names: SpanNames) -> tuple[str, Ranges]:
    """Return how the steps of a process were found, and a range for each, by start: what span names alone tell.

    That is "<engine> spans" or "ProfilerStep#"; "none" and no ranges where they do not tell.
    """
    ranges = _annotations(trace, process)
    found, host = _by_spans(trace, ranges, names)
    if not len(host):
        found, host = _by_profiler(trace, ranges)
    return found, host.take(np.argsort(host.start, kind="stable"))


def _annotations(trace: Trace, process: int) -> Ranges:
    """Return the annotations of a process, and whatever else states its step."""
    ranges = trace.ranges.take(
        (trace.ranges.kind == RangeKind.ANNOTATION) | (trace.ranges.step >= 0)
    )
    return ranges.take(trace.threads_of(process)[ranges.thread])


def _by_spans(trace: Trace, ranges: Ranges, phases: SpanNames) -> tuple[str, Ranges]:
    """Return a range a step, each from one outermost span of the engine's first phase to the next."""
    for marker in (*STEP_MARKERS, *(["forward"] if phases.engine in WHOLE_FORWARD else [])):
        spans = ranges.take(phases.named(marker)[ranges.name]) if len(ranges) else ranges
        if not len(spans):
            continue
        thread = int(np.bincount(spans.thread).argmax())
        spans = spans.take(spans.thread == thread)
        spans = spans.take(np.lexsort((-spans.end, spans.start)))
        reach = np.maximum.accumulate(spans.end)
        outer = _leading_to_work(
            spans.start[np.concatenate(([True], spans.start[1:] >= reach[:-1]))], ranges, phases
        )
        phase = ranges.take((phases.phase[ranges.name] >= 0) & (ranges.thread == thread))
        calls = trace.calls
        launched = calls.end[matching(LAUNCH, trace.names)[calls.name] & (calls.thread == thread)]
        last = max(int(phase.end.max()), int(launched.max(initial=0)))
        return f"{phases.engine} spans", _from_each_to_the_next(outer, thread, last)
    return "none", Ranges.empty()


def _leading_to_work(starts: Int64, ranges: Ranges, phases: SpanNames) -> Int64:
    """Return the starts between which, and the next, work is put in hand: a schedule that finds none begins no step."""
    working = np.zeros(len(phases.phase), np.bool_)
    for name in WORKING:
        working |= phases.named(name)
    work = np.sort(ranges.start[working[ranges.name]])
    bounds = np.searchsorted(work, np.append(starts, np.iinfo(np.int64).max))
    leading = starts[bounds[1:] > bounds[:-1]]
    return leading if leading.size else starts


def _by_profiler(trace: Trace, ranges: Ranges) -> tuple[str, Ranges]:
    matches = [PROFILER_STEP.match(name) for name in trace.names]
    number = np.array([int(m[1]) if m else -1 for m in matches], np.int64)
    host = ranges.take(number[ranges.name] >= 0) if len(ranges) else ranges
    return ("ProfilerStep#" if len(host) else "none"), host.replace(step=number[host.name])


def _by_calls(trace: Trace, launches: Int64, waits: Bool) -> tuple[str, Ranges]:
    """Return a range a step, cut where waiting calls end between launches, or at the launches of graphs."""
    calls, made = trace.calls, launches[launches >= 0]
    if not made.size:
        return "none", Ranges.empty()
    thread = int(np.bincount(calls.thread[made]).argmax())
    mine = np.flatnonzero(calls.thread == thread)
    mine = mine[np.argsort(calls.start[mine], kind="stable")]
    launching = matching(LAUNCH, trace.names)[calls.name[mine]]
    graphs = mine[matching(GRAPH_LAUNCH, trace.names)[calls.name[mine]]]
    ends = np.sort(calls.end[waits])  # of any thread of the process: one may wait for the others
    starts = calls.start[graphs] if graphs.size >= ENOUGH else calls.start[mine[launching]]
    # the last wait between two launches, if any
    at = np.searchsorted(ends, starts, "right") - 1
    waited = (at >= 0) & (np.concatenate(([-1], at[:-1])) < at)
    waited[:1] = False  # a wait before the first launch ends no step
    if graphs.size >= ENOUGH:
        # launches with no wait between them are of one step, unless there are no waits at all
        cuts = ends[at[waited]] if waited.sum() + 1 >= ENOUGH else calls.end[graphs[:-1]]
        found = "graph launches"
    elif waited.sum() + 1 >= ENOUGH:
        cuts, found = ends[at[waited]], "waiting calls"
    else:
        return "none", Ranges.empty()
    low = int(calls.start[mine].min())
    return found, _from_each_to_the_next(
        np.concatenate(([low], cuts)), thread, int(calls.end[mine].max())
    )


def _from_each_to_the_next(starts: Int64, thread: int, last: int) -> Ranges:
    n = starts.size
    return Ranges.of(
        start=starts, end=np.concatenate((starts[1:], [max(last, int(starts[-1]))])), thread=np.full(n, thread),
        name=np.full(n, 0), kind=np.full(n, RangeKind.ANNOTATION), step=np.arange(n),
    )  # fmt: skip


def _step_of_launch(trace: Trace, host: Ranges, launches: Int64) -> Int64:
    known = launches >= 0
    at = np.full(launches.size, -1, np.int64)
    if len(host):
        issued = trace.calls.start[launches[known]]
        row = np.searchsorted(host.start, issued, "right") - 1
        inside = (row >= 0) & (issued < host.end[row])
        at[known] = np.where(inside, host.step[row], -1)
    return at
