"""What an analysis found, as tracks of a trace viewer behind the streams of each device.

Their events are of the category `idlescope`: no reader of torch.profiler traces takes one for a
record.

- gaps: the part that is `host`, then the part of the other cause. All parts of one name add up to
  that cause's idle time, to the nanosecond. Arguments: the whole gap, its step, what ended it.
- steps: from the first host work for a step to the last; asynchronous ones overlap, and lie on two
  tracks.
- idle %: between the ends of consecutive steps on the device; in equal parts of the window where
  no steps are known.
- queue depth: steps that were launched and have not ended on the device. Where it is 0, the device
  has nothing to do.

Perfetto takes no colours from a file (v52 ignores `cname`): it colours slices by name, and digits
at the end do not count. So every cause has its colour, and all steps one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis.idle import activity
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto import lanes
from idlescope.export.perfetto.chrome_events import OWN, arguments, complete, counter, track
from idlescope.export.perfetto.times import Span
from idlescope.trace.model import Trace
from idlescope.trace.table import Float64, Int64

GAPS, STEPS = "gaps", "steps"  # names of tracks
IDLE_COUNTER = ("idle", "%")  # name and series
DEPTH_COUNTER = ("queue depth", "steps")
BINS = 200  # of idle over the window, where no steps are known
Rows = Iterator[tuple[Any, ...]]


class Place(NamedTuple):
    """Where the tracks of one device go in a file."""

    pid: int  # of the device
    first_tid: int  # the tracks have the tids from this one on
    span: Span  # of the trace that is written: what lies beyond it is left out
    offset: int  # taken from all times, ns


def events(trace: Trace, result: DeviceResult, place: Place) -> Iterator[str]:
    """Yield the events of one device's tracks."""
    yield from _gap_events(trace, result, place)
    yield from _step_events(result, place)
    yield from _counter_events(IDLE_COUNTER, *_idle_percent(result), place)
    yield from _counter_events(DEPTH_COUNTER, *_queue_depth(result), place)


def _gap_events(trace: Trace, result: DeviceResult, place: Place) -> Iterator[str]:
    process_id, track_id, trace_span, offset = place
    yield from track(process_id, track_id, GAPS)
    cause_names = [json.dumps(part_cause) for part_cause in CAUSES]
    json_names = [json.dumps(ended_name) for ended_name in trace.names]
    gap_index, part_cause, gap_part = result.gaps.parts()

    # of each part: its whole gap, and the step and the name of the operation that ended it
    gap_length = result.gaps.length[gap_index]
    operation = result.gaps.operation[gap_index]  # -1, the appended entry: nothing ended it
    gap_step = np.append(result.step, -1)[operation]
    ended_by = np.append(result.operations.name, -1)[operation]
    part_rows = _within_span(
        gap_part.start, gap_part.end, trace_span, part_cause, gap_length, gap_step, ended_by
    )
    for slice_start, slice_end, cause_code, length, of_step, ended_name in part_rows:
        slice_arguments = arguments(
            f'"gap_ns":{length}',
            f'"step":{of_step}' if of_step >= 0 else "",
            f'"ended_by":{json_names[ended_name]}' if ended_name >= 0 else "",
        )
        cause_label = cause_names[cause_code]
        yield complete(
            OWN,
            cause_label,
            process_id,
            track_id,
            slice_start - offset,
            slice_end - slice_start,
            slice_arguments,
        )


def _step_events(result: DeviceResult, place: Place) -> Iterator[str]:
    process_id, offset = place.pid, place.offset
    first_tid = place.first_tid + 1  # behind the gaps
    result_steps = result.steps
    step_lane = lanes.assign(
        result_steps.start, np.maximum(result_steps.end, result_steps.start)
    )
    for lane_index in np.unique(step_lane).tolist():
        lane_label = f"{STEPS} ({lane_index + 1})" if lane_index else STEPS
        yield from track(process_id, first_tid + lane_index, lane_label)
    figures = (
        result_steps.number,
        result_steps.host,
        result_steps.device,
        result_steps.idle,
        result_steps.early,
    )
    step_rows = _within_span(
        result_steps.start, result_steps.end, place.span, step_lane, *figures
    )
    for (
        slice_start,
        slice_end,
        lane_index,
        number,
        host_ns,
        device,
        idle_ns,
        early_ns,
    ) in step_rows:
        slice_arguments = arguments(
            f'"host_ns":{host_ns}',
            f'"device_ns":{device}',
            f'"idle_ns":{idle_ns}',
            f'"launched_before_previous_ended":{json.dumps(early_ns)}',
        )
        step_name, track_id = f'"step {number}"', first_tid + lane_index
        yield complete(
            OWN,
            step_name,
            process_id,
            track_id,
            slice_start - offset,
            slice_end - slice_start,
            slice_arguments,
        )


def _within_span(
    start: Int64, end: Int64, span: Span, *columns: NDArray[np.generic]
) -> Rows:
    """Yield the slices that lie in a stretch of time, in the order of time.

    Each is its start and end, with what is beyond the stretch cut off, and its other columns.
    """
    start = np.maximum(start, span.low)
    end = np.minimum(end, span.high)
    rows_with_time = np.flatnonzero(end > start)
    rows_with_time = rows_with_time[np.argsort(start[rows_with_time], kind="stable")]
    return zip(
        *(column[rows_with_time].tolist() for column in (start, end, *columns)), strict=True
    )


def _counter_events(
    counted: tuple[str, str], times: Int64, values: NDArray[Any], place: Place
) -> Iterator[str]:
    """Yield a counter's values in a stretch of time; the first is what it stands at there."""
    counter_name, series = counted
    trace_span = place.span
    first_row = max(int(np.searchsorted(times, trace_span.low, "right")) - 1, 0)
    last_row = int(np.searchsorted(times, trace_span.high, "right"))
    shown_times = np.maximum(times[first_row:last_row], trace_span.low) - place.offset
    value_rows = zip(shown_times.tolist(), values[first_row:last_row].tolist(), strict=True)
    for sample_time, sample_value in value_rows:
        yield counter(
            f'"{counter_name}"', place.pid, sample_time, sample_value, series, OWN
        )


def _idle_percent(result: DeviceResult) -> tuple[Int64, Float64]:
    """Return from when on the device was idle for how much of the time, %."""
    window_start, window_end = result.occupancy.window
    step_ends = result.steps.done
    inside = np.unique(step_ends[(step_ends > window_start) & (step_ends < window_end)])
    if not inside.size:
        bin_edges, percent = activity.idle_over_time(result.occupancy, BINS)
        return bin_edges[:-1], percent.round(3)
    bin_edges = np.concatenate(([window_start], inside, [window_end]))
    return bin_edges[:-1], activity.idle_between(result.occupancy, bin_edges).round(3)


def _queue_depth(result: DeviceResult) -> tuple[Int64, Int64]:
    """Return from when on so many steps were launched and had not ended on the device."""
    result_steps = result.steps
    known_steps = result_steps.launched < result_steps.done

    # one up at each launch, one down at each end; of several at one time the last one counts
    change_times = np.concatenate(
        (result_steps.launched[known_steps], result_steps.done[known_steps])
    )
    changes = np.repeat([1, -1], int(known_steps.sum()))
    time_order = np.argsort(change_times, kind="stable")
    change_times, queue_depth = change_times[time_order], changes[time_order].cumsum()
    last_at_time = np.append(np.diff(change_times) > 0, True)[: change_times.size]
    return change_times[last_at_time], queue_depth[last_at_time]
