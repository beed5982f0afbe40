"""The lanes of the host: the ranges of the launching thread, and the calls that it made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis import intervals
from idlescope.analysis.result import DeviceResult
from idlescope.palette import CALL, PHASE
from idlescope.report.page.lane import NO_COLOUR, Lane
from idlescope.report.work_line import WorkLine
from idlescope.trace.model import RangeKind
from idlescope.trace.names.calls import matching
from idlescope.trace.names.engines import IDLE, PROFILER_STEP, STEP
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64

HOST, CALLS = "host", "calls"
ENOUGH_PCT = 10.0  # of the window, covered by ranges that are worth a lane
# Phases of other engines, by what they are in ours; the rest have the colour of "other".
SIMILAR_PHASE = {
    "ingest": "schedule",
    "h2d": "submit",
    "forward": "submit",
    "draft": "submit",
    "sample": "submit",
    "d2h": "retrieve",
    "sync_wait": "retrieve",
    "postprocess": "update",
    "detokenize": "update",
}


def host_lanes(line: WorkLine) -> Iterator[Lane]:
    """Yield the ranges and the calls of the launching thread, innermost only."""
    trace = line.trace
    thread = _shown_thread(line)
    ranges, calls = trace.ranges, trace.calls
    shown = _shown_ranges(line, thread)
    shown |= (ranges.thread == thread) & (ranges.kind == RangeKind.GARBAGE_COLLECTION)
    yield _innermost_lane(
        line,
        HOST,
        (ranges.start[shown], ranges.end[shown]),
        ranges.name[shown],
        ranges.step[shown].astype(np.int64),
    )
    called = calls.thread == thread
    yield _innermost_lane(
        line,
        CALLS,
        (calls.start[called], calls.end[called]),
        calls.name[called],
        np.full(int(called.sum()), -1),
    )


def blocking_call(result: DeviceResult) -> str:
    """Return the call that the verdict says the host waits in; empty where it names none."""
    culprit = result.batching.culprit or result.batching.token_wait
    return "" if culprit is None else culprit.call


def _innermost_lane(
    line: WorkLine,
    label: str,
    spans: tuple[Int64, Int64],
    name: NDArray[np.int32],
    step: Int64,
) -> Lane:
    """Return nested spans, given by their starts and ends, cut into pieces of the innermost."""
    pieces, owner = intervals.innermost(*spans)
    window = line.result.window
    inside = (pieces.end > window.start) & (pieces.start < window.end)
    piece_start, owner = pieces.start[inside], owner[inside]
    return Lane(
        label=label,
        start=piece_start,
        end=pieces.end[inside],
        name=name[owner].astype(np.int64),
        step=_fill_steps(line.result, piece_start, step[owner]),
        texts=line.trace.names,
        colours=_range_colours(line.names) if label == HOST else _call_colours(line),
    )


def _shown_thread(line: WorkLine) -> int:
    """Return the thread that made most launches, else the first one of the device's process."""
    thread = line.result.view.launching_thread
    if thread >= 0:
        return thread
    of_process = line.trace.threads_of(line.result.device.process)
    # one past the last thread where there is none
    return int(np.argmax([*of_process, True]))


def _shown_ranges(line: WorkLine, thread: int) -> Bool:
    """Return which ranges of a thread are shown: the most telling of those that cover enough.

    Those are its phases, else its annotations, else its operators, else whole steps. What is around
    a whole step, as `ProfilerStep#` is, would hide all else and say nothing.
    """
    ranges, names = line.trace.ranges, line.names
    of_thread = ranges.thread == thread
    profiler_step = matching(PROFILER_STEP, line.trace.names)[ranges.name]
    whole_step = names.named(STEP)[ranges.name] | profiler_step
    spans = of_thread & names.spans(ranges)
    choices = (
        spans & (names.phase[ranges.name] >= 0) & ~whole_step,
        of_thread & (ranges.kind == RangeKind.ANNOTATION) & ~whole_step,
        of_thread & (ranges.kind == RangeKind.OPERATOR),
        spans & ~profiler_step,
    )
    covered = [_covered_pct(line, shown) for shown in choices]
    telling = (number for number, pct in enumerate(covered) if pct >= ENOUGH_PCT)
    return choices[next(telling, int(np.argmax(covered)))]


def _covered_pct(line: WorkLine, shown: Bool) -> float:
    """Return how much of the window some ranges cover, in %."""
    ranges, window = line.trace.ranges, line.result.window
    covered = intervals.union(ranges.start[shown], ranges.end[shown])
    inside = intervals.clip(covered, window.start, window.end)
    return intervals.percent(int(inside.length.sum()), window.end - window.start)


def _range_colours(names: SpanNames) -> list[str]:
    """Return the colour of each name of the trace as a range: that of its phase."""
    of_phase = [_phase_colour(label) for label in names.labels]
    return [
        of_phase[phase] if phase >= 0 else PHASE["other"] for phase in names.phase.tolist()
    ]


def _phase_colour(phase: str) -> str:
    if phase == IDLE:
        return NO_COLOUR
    return PHASE.get(SIMILAR_PHASE.get(phase, phase), PHASE["other"])


def _call_colours(line: WorkLine) -> list[str]:
    """Return the colour of each name of the trace as a call: those that wait have their own."""
    trace, result = line.trace, line.result
    waiting = np.zeros(len(trace.names), np.bool_)
    waiting[trace.calls.name[result.waits]] = True
    blocking = blocking_call(result)
    return [
        CALL["blocking"]
        if waits and name == blocking
        else CALL["waiting" if waits else "other"]
        for name, waits in zip(trace.names, waiting.tolist(), strict=True)
    ]


def _fill_steps(result: DeviceResult, times: Int64, known: Int64) -> Int64:
    """Return the step at each time; where it is not known, the one that the host began last."""
    result_steps = result.steps
    if not len(result_steps):
        return known
    last_begun = np.searchsorted(result_steps.start, times, "right") - 1
    begun_number = result_steps.number[np.maximum(last_begun, 0)]
    return np.where((known < 0) & (last_begun >= 0), begun_number, known)
