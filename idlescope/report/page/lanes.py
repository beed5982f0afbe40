"""The lanes of a timeline: what the host and each kind of work on the device did, and the gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.result import DeviceResult
from idlescope.palette import CAUSE, OPERATION, PHASE
from idlescope.report.work_line import WorkLine
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.names.calls import matching
from idlescope.trace.names.engines import IDLE, PROFILER_STEP, STEP
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64

LABELS = ("host", "H2D", "compute", "D2H", "other copies", "gaps")  # top to bottom
NO_COLOUR = ""  # of intervals that are not drawn
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
# How copies of each direction are named in traces.
COPY_NAMES = {
    "H2D": re.compile("HtoD|HostToDevice"),
    "D2H": re.compile("DtoH|DeviceToHost"),
}


@dataclass(frozen=True)
class Lane:
    """One row of the timeline: intervals sorted by start, times in ns.

    `name` holds codes: indices into `texts` and `colours`.
    """

    label: str
    start: Int64
    end: Int64
    name: Int64
    step: Int64  # -1: not known
    texts: Sequence[str]
    colours: Sequence[str]
    ended_by: Int64 | None = (
        None  # of gaps: a name of the trace; one more than those: nothing
    )

    def take(self, rows: Bool) -> Lane:
        """Return some of its intervals."""
        return replace(
            self,
            start=self.start[rows],
            end=self.end[rows],
            name=self.name[rows],
            step=self.step[rows],
            ended_by=None if self.ended_by is None else self.ended_by[rows],
        )


def lanes(line: WorkLine) -> list[Lane]:
    """Return a device's lanes, of LABELS, top to bottom: those that hold anything in the window.

    The host is the thread that made most launches of the device's operations.
    """
    every_lane = [_host_lane(line), *_operation_lanes(line), _gap_lane(line)]
    return [lane for lane in every_lane if lane.start.size]


def _host_lane(line: WorkLine) -> Lane:
    """Return what the launching thread did, innermost only: phases, waits and garbage collections.

    Where no phase is known, its other annotations and calls stand for them.
    """
    trace, result = line.trace, line.result
    ranges, calls = trace.ranges, trace.calls
    thread = _launching_thread(line)
    range_shown = _shown_ranges(line, thread)
    of_phases = range_shown.any()
    range_shown |= (ranges.thread == thread) & (ranges.kind == RangeKind.GARBAGE_COLLECTION)
    call_shown = calls.thread == thread
    if of_phases:
        call_shown &= result.waits

    # ranges, then calls: one list of intervals
    host_start = np.concatenate((ranges.start[range_shown], calls.start[call_shown]))
    host_end = np.concatenate((ranges.end[range_shown], calls.end[call_shown]))
    host_name = np.concatenate((ranges.name[range_shown], calls.name[call_shown]))
    unknown_steps = np.full(int(call_shown.sum()), -1)
    host_step = np.concatenate((ranges.step[range_shown], unknown_steps))

    # cut nested intervals into pieces, each of the innermost one
    pieces, piece_owner = intervals.innermost(host_start, host_end)
    inside = (pieces.end > result.window.start) & (pieces.start < result.window.end)
    piece_start, piece_owner = pieces.start[inside], piece_owner[inside]
    return Lane(
        label="host",
        start=piece_start,
        end=pieces.end[inside],
        name=host_name[piece_owner].astype(np.int64),
        step=_fill_steps(result, piece_start, host_step[piece_owner].astype(np.int64)),
        texts=trace.names,
        colours=_host_colours(line),
    )


def _launching_thread(line: WorkLine) -> int:
    """Return the thread that made most launches, else the first one of the device's process."""
    launches = line.result.launches
    launch_calls = launches[launches >= 0]
    if launch_calls.size:
        return int(np.bincount(line.trace.calls.thread[launch_calls]).argmax())
    of_process = line.trace.threads_of(line.result.device.process)
    return int(
        np.argmax([*of_process, True])
    )  # one past the last thread where there is none


def _shown_ranges(line: WorkLine, thread: int) -> Bool:
    """Return which ranges are shown: the thread's phases; all its annotations where none is one."""
    ranges, names = line.trace.ranges, line.names
    whole_step = names.named(STEP) | matching(PROFILER_STEP, line.trace.names)
    annotated = (ranges.thread == thread) & (ranges.kind == RangeKind.ANNOTATION)
    annotated &= ~whole_step[ranges.name]
    of_phase = annotated & (names.phase[ranges.name] >= 0)
    return of_phase if of_phase.any() else annotated


def _host_colours(line: WorkLine) -> list[str]:
    """Return the colour of each name of the trace; calls that wait have that of `retrieve`."""
    trace = line.trace
    waiting = np.zeros(len(trace.names), np.bool_)
    waiting[trace.calls.name[line.result.waits]] = True
    return [
        PHASE["retrieve"] if waits_for_device else _phase_colour(line.names, name_code)
        for name_code, waits_for_device in enumerate(waiting.tolist())
    ]


def _phase_colour(names: SpanNames, name: int) -> str:
    phase_index = names.phase[name]
    phase_label = names.labels[phase_index] if phase_index >= 0 else "other"
    if phase_label == IDLE:
        return NO_COLOUR
    similar = SIMILAR_PHASE.get(phase_label, phase_label)
    return PHASE.get(similar, PHASE["other"])


def _fill_steps(result: DeviceResult, times: Int64, known: Int64) -> Int64:
    """Return the step at each time; where it is not known, the one that the host began last."""
    result_steps = result.steps
    if not len(result_steps):
        return known
    last_begun = np.searchsorted(result_steps.start, times, "right") - 1
    begun_number = result_steps.number[np.maximum(last_begun, 0)]
    return np.where((known < 0) & (last_begun >= 0), begun_number, known)


def _operation_lanes(line: WorkLine) -> Iterator[Lane]:
    """Yield the lanes between the host's and the gaps': copies by direction, and compute."""
    trace_names, result = line.trace.names, line.result
    in_window = result.window.touches(result.operations)
    operations = result.operations.take(in_window)
    operation_step = result.step[in_window].astype(np.int64)

    compute = is_compute(operations)
    is_copy = operations.kind == OperationKind.MEMCPY
    copies_in = is_copy & matching(COPY_NAMES["H2D"], trace_names)[operations.name]
    copies_out = is_copy & matching(COPY_NAMES["D2H"], trace_names)[operations.name]
    other_kinds = ~(copies_in | compute | copies_out)
    for lane_label, in_lane in zip(
        LABELS[1:-1], (copies_in, compute, copies_out, other_kinds), strict=True
    ):
        lane_operations = operations.take(in_lane)
        colour = OPERATION.get(lane_label, OPERATION["copy"])
        yield Lane(
            label=lane_label,
            start=lane_operations.start,
            end=lane_operations.end,
            name=lane_operations.name.astype(np.int64),
            step=operation_step[in_lane],
            texts=trace_names,
            colours=[colour] * len(trace_names),
        )


def _gap_lane(line: WorkLine) -> Lane:
    """Return the parts of each gap as time passes: first the host's, then what waits."""
    result = line.result
    gap_index, cause_code, gap_part = result.gaps.parts()
    ending_operation = result.gaps.operation[
        gap_index
    ]  # -1, the appended entry: nothing ended it

    def of_operation(column: NDArray[np.integer], none: int) -> Int64:
        return np.append(column, none)[ending_operation]

    return Lane(
        label="gaps",
        start=gap_part.start,
        end=gap_part.end,
        name=cause_code,
        step=of_operation(result.step, -1),
        texts=CAUSES,
        colours=list(CAUSE.values()),
        ended_by=of_operation(result.operations.name, len(line.trace.names)),
    )
