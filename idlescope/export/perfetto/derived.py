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
    pid, tid, span, offset = place
    yield from track(pid, tid, GAPS)
    cause_names = [json.dumps(cause) for cause in CAUSES]
    names = [json.dumps(name) for name in trace.names]
    gap, cause, part = result.gaps.parts()

    # of each part: its whole gap, and the step and the name of the operation that ended it
    gap_length = result.gaps.length[gap]
    operation = result.gaps.operation[gap]  # -1, the appended entry: nothing ended it
    step = np.append(result.step, -1)[operation]
    ended_by = np.append(result.operations.name, -1)[operation]
    rows = _within_span(part.start, part.end, span, cause, gap_length, step, ended_by)
    for start, end, cause_code, length, of_step, name in rows:
        slice_arguments = arguments(
            f'"gap_ns":{length}',
            f'"step":{of_step}' if of_step >= 0 else "",
            f'"ended_by":{names[name]}' if name >= 0 else "",
        )
        label = cause_names[cause_code]
        yield complete(OWN, label, pid, tid, start - offset, end - start, slice_arguments)


def _step_events(result: DeviceResult, place: Place) -> Iterator[str]:
    pid, offset = place.pid, place.offset
    first_tid = place.first_tid + 1  # behind the gaps
    steps = result.steps
    lane = lanes.assign(steps.start, np.maximum(steps.end, steps.start))
    for index in np.unique(lane).tolist():
        label = f"{STEPS} ({index + 1})" if index else STEPS
        yield from track(pid, first_tid + index, label)
    figures = (steps.number, steps.host, steps.device, steps.idle, steps.early)
    rows = _within_span(steps.start, steps.end, place.span, lane, *figures)
    for start, end, index, number, host, device, idle, early in rows:
        slice_arguments = arguments(
            f'"host_ns":{host}',
            f'"device_ns":{device}',
            f'"idle_ns":{idle}',
            f'"launched_before_previous_ended":{json.dumps(early)}',
        )
        name, tid = f'"step {number}"', first_tid + index
        yield complete(OWN, name, pid, tid, start - offset, end - start, slice_arguments)


def _within_span(start: Int64, end: Int64, span: Span, *columns: NDArray[np.generic]) -> Rows:
    """Yield the slices that lie in a stretch of time, in the order of time.

    Each is its start and end, with what is beyond the stretch cut off, and its other columns.
    """
    start = np.maximum(start, span.low)
    end = np.minimum(end, span.high)
    rows = np.flatnonzero(end > start)
    rows = rows[np.argsort(start[rows], kind="stable")]
    return zip(*(column[rows].tolist() for column in (start, end, *columns)), strict=True)


def _counter_events(
    counted: tuple[str, str], times: Int64, values: NDArray[Any], place: Place
) -> Iterator[str]:
    """Yield a counter's values in a stretch of time; the first is what it stands at there."""
    name, series = counted
    span = place.span
    first = max(int(np.searchsorted(times, span.low, "right")) - 1, 0)
    last = int(np.searchsorted(times, span.high, "right"))
    shown_times = np.maximum(times[first:last], span.low) - place.offset
    rows = zip(shown_times.tolist(), values[first:last].tolist(), strict=True)
    for time, value in rows:
        yield counter(f'"{name}"', place.pid, time, value, series, OWN)


def _idle_percent(result: DeviceResult) -> tuple[Int64, Float64]:
    """Return from when on the device was idle for how much of the time, %."""
    low, high = result.occupancy.window
    step_ends = result.steps.done
    inside = np.unique(step_ends[(step_ends > low) & (step_ends < high)])
    if not inside.size:
        edges, percent = activity.idle_over_time(result.occupancy, BINS)
        return edges[:-1], percent.round(3)
    edges = np.concatenate(([low], inside, [high]))
    return edges[:-1], activity.idle_between(result.occupancy, edges).round(3)


def _queue_depth(result: DeviceResult) -> tuple[Int64, Int64]:
    """Return from when on so many steps were launched and had not ended on the device."""
    steps = result.steps
    known = steps.launched < steps.done

    # one up at each launch, one down at each end; of several at one time the last one counts
    times = np.concatenate((steps.launched[known], steps.done[known]))
    changes = np.repeat([1, -1], int(known.sum()))
    order = np.argsort(times, kind="stable")
    times, depth = times[order], changes[order].cumsum()
    last_at_time = np.append(np.diff(times) > 0, True)[: times.size]
    return times[last_at_time], depth[last_at_time]
