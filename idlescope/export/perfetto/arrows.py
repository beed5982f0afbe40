"""Arrows of a trace viewer: from launches to operations, along each step, from step to step.

A step of a recording that names them goes submit → H2D → compute → D2H → retrieve, one arrow
through all of them. From compute N to compute N+1 goes another where step N+1 was submitted before
the tokens of step N were retrieved: they can only have been carried over on the device.

Time runs forward along an arrow. Perfetto ties it to the innermost slice that is open at its time
(in submit and retrieve, to the call that launches or waits, where one is) and turns it round where
that one began before the slice that the arrow comes from: a step that was waited for goes on to
update, where the wait has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from idlescope.analysis.launches import link
from idlescope.engine.devices.base import COMPUTE, STREAMS
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.table import Int32, Int64

# Categories of arrows, which no reader of traces knows.
STEP = "idlescope step"
CARRY_OVER = "idlescope carry-over"
RowOfStep = Mapping[int, int]  # step number: row of a table


class End(NamedTuple):
    """Where an arrow touches a range or an operation."""

    on_range: bool
    row: int
    time: int  # ns


class Arrow(NamedTuple):
    """Two ends or more, in the order of time."""

    category: str
    ends: list[End]


class LaunchArrows(NamedTuple):
    """For each operation the arrow that ends at it."""

    number: Int64  # id of the arrow; 0: none ends here
    call: Int64  # row of the launch call; -1: not captured


def launches(trace: Trace) -> LaunchArrows:
    """Return the arrows from launches: one to the first operation that each started on a stream.

    A graph's other operations follow on the same track. Ids are the correlation ids where those
    are unique, else running numbers. An operation that began before its launch, by its times, has
    no arrow.
    """
    operations = trace.operations
    launch_call = link(trace, operations)
    linked_rows = np.flatnonzero(launch_call >= 0)
    linked = operations.take(linked_rows)
    linked_call = launch_call[linked_rows]

    # sort by call, device, stream, then time: the first row of each group has the arrow
    call_order = np.lexsort((linked.start, linked.stream, linked.device, linked_call))
    launched_before = linked.start >= trace.calls.start[linked_call]
    call_order = call_order[launched_before[call_order]]
    groups = np.stack((linked_call, linked.device, linked.stream))[:, call_order]
    is_first = np.ones(call_order.size, np.bool_)
    is_first[1:] = (groups[:, 1:] != groups[:, :-1]).any(axis=0)
    with_arrow = linked_rows[call_order[is_first]]

    number = np.zeros(len(operations), np.int64)
    number[with_arrow] = _arrow_ids(operations.correlation[with_arrow])
    return LaunchArrows(number, launch_call)


def _arrow_ids(correlation: Int64) -> Int64:
    """Return an id for each arrow: its correlation id where those are unique, else 1 and up."""
    arrow_count = correlation.size
    is_unique = np.unique(correlation).size == arrow_count
    if is_unique and (correlation > 0).all():
        return correlation
    return np.arange(1, arrow_count + 1)


def steps(trace: Trace) -> Iterator[Arrow]:
    """Yield the arrows of steps, of a recording that names an engine's phases and streams."""
    for device in range(len(trace.devices)):
        arrows = _DeviceSteps(trace, device)
        for step_number in arrows.computed:
            yield from arrows.along(step_number)
            yield from arrows.carry_over(step_number)


class _DeviceSteps:
    """Where each step of a device is found in a trace."""

    def __init__(self, trace: Trace, device: int) -> None:
        process = trace.devices[device].process
        self._ranges, self._operations = trace.ranges, trace.operations
        self._submit = _phase_rows(trace, process, "submit")
        self._retrieve = _phase_rows(trace, process, "retrieve")
        self._update = _phase_rows(trace, process, "update")
        self._streams = [
            _stream_rows(trace, device, stream_name) for stream_name in STREAMS
        ]
        self.computed: RowOfStep = self._streams[COMPUTE]

    def along(self, step: int) -> Iterator[Arrow]:
        """Yield the arrow from a step's submission through its operations to what waited."""
        arrow_ends = []
        if step in self._submit:
            arrow_ends.append(self._range_end(self._submit[step]))
        arrow_ends += [
            self._operation_end(stream_rows[step])
            for stream_rows in self._streams
            if step in stream_rows
        ]
        last_time = arrow_ends[-1].time
        for phase_ends in (self._retrieve, self._update):
            if step in phase_ends and self._ranges.start[phase_ends[step]] > last_time:
                arrow_ends.append(self._range_end(phase_ends[step]))
                break
        yield from _forward(STEP, arrow_ends)

    def carry_over(self, step: int) -> Iterator[Arrow]:
        """Yield the arrow to the next step, where that got its tokens on the device."""
        following = step + 1
        if following not in self._submit or following not in self.computed:
            return
        if step not in self._retrieve:
            return
        submitted = self._ranges.start[self._submit[following]]
        retrieved = self._ranges.end[self._retrieve[step]]
        if submitted < retrieved:
            copy_rows = (self.computed[step], self.computed[following])
            yield from _forward(
                CARRY_OVER, [self._operation_end(copy_row) for copy_row in copy_rows]
            )

    def _range_end(self, row: int) -> End:
        return End(True, row, int(self._ranges.start[row]))

    def _operation_end(self, row: int) -> End:
        return End(False, row, int(self._operations.start[row]))


def _forward(category: str, ends: Sequence[End]) -> Iterator[Arrow]:
    """Yield the arrow through these ends, if it is one.

    Those that are no later than one before are left out.
    """
    onward: list[End] = []
    for arrow_end in ends:
        if not onward or arrow_end.time > onward[-1].time:
            onward.append(arrow_end)
    if len(onward) > 1:
        yield Arrow(category, onward)


def _phase_rows(trace: Trace, process: int, phase: str) -> RowOfStep:
    """Return the row of each step's phase of that name."""
    ranges = trace.ranges
    is_phase = (ranges.name == trace.name_index(phase)) & (ranges.step >= 0)
    is_phase &= ranges.kind == RangeKind.ANNOTATION
    is_phase &= trace.threads_of(process)[ranges.thread]
    return _first_of_step(np.flatnonzero(is_phase), ranges.start, ranges.step)


def _stream_rows(trace: Trace, device: int, stream: str) -> RowOfStep:
    """Return the row of the first operation of each step on a stream of a device."""
    operations = trace.operations
    if stream not in trace.streams:
        return {}
    on_stream = operations.stream == trace.streams.index(stream)
    on_stream &= (operations.device == device) & (operations.step >= 0)
    return _first_of_step(np.flatnonzero(on_stream), operations.start, operations.step)


def _first_of_step(rows: Int64, start: Int64, step: Int32) -> RowOfStep:
    """Return the row of each step that starts first."""
    rows = rows[np.lexsort((start[rows], step[rows]))]
    numbers, first_index = np.unique(step[rows], return_index=True)
    return dict(zip(numbers.tolist(), rows[first_index].tolist(), strict=True))
