"""What an analysis found, as tracks of a trace viewer behind the streams of each device.

Their events are of the category `idlescope`: no reader of torch.profiler traces takes one for a record.

- gaps: the part that is `host`, then the part of the other cause (README.md, "What the numbers mean"). All parts of one
  name add up to that cause's idle time, to the nanosecond. Arguments: the whole gap, its step, what ended it.
- steps: from the first host work for a step to the last; asynchronous ones overlap, and lie on two tracks.
- idle %: between the ends of consecutive steps on the device; in equal parts of the window where no steps are known.
- queue depth: steps that were launched and have not ended on the device. Where it is 0, the device has nothing to do.

Perfetto takes no colours from a file (v52 ignores `cname`): it colours slices by name, and digits at the end do not
count. So every cause has its colour, and all steps one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis.idle import activity
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto import lanes
from idlescope.export.perfetto.chrome_events import OWN, arguments, complete, counter, track
from idlescope.trace.model import Trace
from idlescope.trace.table import Float64, Int64

GAPS, STEPS = "gaps", "steps"
COUNTERS = ("idle", "%"), ("queue depth", "steps")  # name and series of each
BINS = 200  # of idle over the window, where no steps are known


def events(
    trace: Trace,
    result: DeviceResult,
    pid: int,
    first_tid: int,
    extent: tuple[int, int],
    offset: int,
) -> Iterator[str]:
    """Yield the events of one device's tracks, as far as they lie in the extent of the trace that is written.

    The tracks have the tids from `first_tid` on in the device's process. `offset` is taken from all times, in ns.
    """
    yield from _gaps(trace, result, pid, first_tid, extent, offset)
    yield from _steps(result, pid, first_tid + 1, extent, offset)
    for (name, series), (times, values) in zip(
        COUNTERS, (_idle(result), _depth(result)), strict=True
    ):
        for time, value in zip(*_within(times, values, extent), strict=True):
            yield counter(f'"{name}"', pid, time - offset, value, series, OWN)


def _gaps(
    trace: Trace, result: DeviceResult, pid: int, tid: int, extent: tuple[int, int], offset: int
) -> Iterator[str]:
    yield from track(pid, tid, GAPS)
    gaps, cause = result.gaps, [json.dumps(c) for c in CAUSES]
    gap, kind, part = gaps.parts()
    step = np.append(result.step, -1)[gaps.operation]
    ended = np.append(result.operations.name, -1)[gaps.operation]
    columns = [column[gap] for column in (gaps.length, step, ended)]
    for begins, ends, k, length, of_step, name in _visible(
        part.start, part.end, extent, kind, *columns
    ):
        by = f'"ended_by":{json.dumps(trace.names[name])}' if name >= 0 else ""
        args = arguments(f'"gap_ns":{length}', f'"step":{of_step}' if of_step >= 0 else "", by)
        yield complete(OWN, cause[k], pid, tid, begins - offset, ends - begins, args)


def _steps(
    result: DeviceResult, pid: int, tid: int, extent: tuple[int, int], offset: int
) -> Iterator[str]:
    s = result.steps
    lane = lanes.assign(s.start, np.maximum(s.end, s.start))
    for i in np.unique(lane).tolist():
        yield from track(pid, tid + i, f"{STEPS} ({i + 1})" if i else STEPS)
    for begins, ends, at, number, host, device, idle, early in _visible(
        s.start, s.end, extent, lane, s.number, s.host, s.device, s.idle, s.early
    ):
        args = arguments(f'"host_ns":{host}', f'"device_ns":{device}', f'"idle_ns":{idle}',
                         f'"launched_before_previous_ended":{json.dumps(early)}')  # fmt: skip
        yield complete(OWN, f'"step {number}"', pid, tid + at, begins - offset, ends - begins, args)


def _idle(result: DeviceResult) -> tuple[Int64, Float64]:
    """Return from when on the device was idle for how much of the time, %."""
    low, high = result.occupancy.window
    done = result.steps.done
    inside = np.unique(done[(done > low) & (done < high)])
    if not inside.size:
        edges, percent = activity.idle_over_time(result.occupancy, BINS)
        return edges[:-1], percent.round(3)
    edges = np.concatenate(([low], inside, [high]))
    return edges[:-1], activity.idle_between(result.occupancy, edges).round(3)


def _depth(result: DeviceResult) -> tuple[Int64, Int64]:
    """Return from when on so many steps were launched and had not ended on the device."""
    s = result.steps
    known = s.launched < s.done
    times = np.concatenate((s.launched[known], s.done[known]))
    order = np.argsort(times, kind="stable")
    change = np.repeat([1, -1], int(known.sum()))[order]
    last = np.append(np.diff(times[order]) > 0, True)[: times.size]
    return times[order][last], change.cumsum()[last]


def _within(
    times: Int64, values: NDArray[np.generic], extent: tuple[int, int]
) -> tuple[list[int], list[float]]:
    """Return the samples of a stretch of time; the first is what the counter stands at where the stretch begins."""
    first = max(int(np.searchsorted(times, extent[0], "right")) - 1, 0)
    last = int(np.searchsorted(times, extent[1], "right"))
    return np.maximum(times[first:last], extent[0]).tolist(), values[first:last].tolist()


def _visible(
    start: Int64, end: Int64, extent: tuple[int, int], *columns: NDArray[np.generic]
) -> Iterator[tuple[int, ...]]:
    """Yield the slices that lie in a stretch of time, with the parts beyond it cut off, in the order of time."""
    start, end = np.maximum(start, extent[0]), np.minimum(end, extent[1])
    rows = np.flatnonzero(end > start)
    rows = rows[np.argsort(start[rows], kind="stable")]
    return zip(*(column[rows].tolist() for column in (start, end, *columns)), strict=True)
