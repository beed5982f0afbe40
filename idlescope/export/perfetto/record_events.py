"""The events of a Trace's records: ranges, calls, operations, counters, and names of tracks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.export.perfetto import arrows, tracks
from idlescope.export.perfetto.chrome_events import (
    arguments,
    arrow,
    complete,
    counter,
    instant,
    metadata,
    track,
)
from idlescope.export.perfetto.layout import Layout
from idlescope.trace.model import Calls, OperationKind, Operations, RangeKind, Ranges
from idlescope.trace.names.own_engine import OF_REQUESTS
from idlescope.trace.table import Int64

LAUNCH = "ac2g"  # the category of arrows from launches, in Kineto's files, too
CALL_CATEGORY = "cuda_runtime"
OPERATION_CATEGORY = {
    OperationKind.KERNEL: "kernel",
    OperationKind.MEMCPY: "gpu_memcpy",
    OperationKind.MEMSET: "gpu_memset",
    OperationKind.GRAPH: "gpu_graph",
}
RANGE_CATEGORY = {
    RangeKind.ANNOTATION: "user_annotation",
    RangeKind.OPERATOR: "cpu_op",
    RangeKind.FRAME: "python_function",
    RangeKind.OVERHEAD: "overhead",
    RangeKind.GARBAGE_COLLECTION: "gc",
    RangeKind.NO_DEMAND: "no_demand",
}


def record_events(layout: Layout) -> Iterator[str]:
    """Yield the events of all records, names of processes and tracks first."""
    yield from _host_metadata(layout)
    yield from _device_metadata(layout)
    yield from _range_events(layout)
    yield from _call_events(layout)
    for device in range(len(layout.trace.devices)):
        yield from _operation_events(layout, device)
    yield from _step_arrows(layout)
    yield from _counter_events(layout)


def _name(text: str) -> str:
    return f'"name":{json.dumps(text)}'


def _host_metadata(layout: Layout) -> Iterator[str]:
    """Yield what host processes and their tracks are called, and the order of extra tracks."""
    for process, pid in layout.pids.items():
        several = layout.several_processes
        label = f"host {layout.process_label(process)}" if several else "host"
        yield metadata("process_name", pid, 0, _name(label))
    host = layout.host
    first_labels = {laid.owner: laid.label for laid in host.tracks if laid.first}
    for index, thread in enumerate(layout.trace.threads):
        pid, tid = int(layout.thread_pid[index]), tracks.first_tid(index)
        yield metadata("thread_name", pid, tid, _name(first_labels.get(index, thread.label)))
    if not host.extra:
        return
    for order, laid in enumerate(host.tracks):
        pid = int(layout.thread_pid[laid.owner])
        if not laid.first:
            yield metadata("thread_name", pid, laid.tid, _name(laid.label))
        yield metadata("thread_sort_index", pid, laid.tid, f'"sort_index":{order}')


def _device_metadata(layout: Layout) -> Iterator[str]:
    """Yield what devices and their streams are called, and the order of streams."""
    for index, device in enumerate(layout.trace.devices):
        pid = layout.device_pid(index)
        label = device.name or f"device {device.index}"
        if layout.several_processes:
            label += f", of {layout.process_label(device.process)}"
        yield metadata("process_name", pid, 0, _name(label))
        for order, (_, tid, stream) in enumerate(layout.device_tracks[index].tracks):
            yield metadata("thread_name", pid, tid, _name(stream))
            yield metadata("thread_sort_index", pid, tid, f'"sort_index":{order}')


def _range_events(layout: Layout) -> Iterator[str]:
    ranges, names = layout.trace.ranges, layout.names
    categories = [RANGE_CATEGORY[RangeKind(kind)] for kind in ranges.kind.tolist()]
    rows = _rows(
        ranges.start - layout.offset,
        _length(ranges),
        ranges.thread,
        ranges.name,
        ranges.step,
        layout.thread_pid[ranges.thread],
        layout.host.tid[: len(ranges)],
    )
    for category, row in zip(categories, rows, strict=True):
        start, length, thread, name, step, pid, tid = row
        of_step = f'"step":{step}' if step >= 0 else ""
        entries = arguments(of_step, _home_track(thread, tid))
        yield complete(category, names[name], pid, tid, start, length, entries)


def _call_events(layout: Layout) -> Iterator[str]:
    """Yield calls, and behind each the arrows that begin at it."""
    calls, names = layout.trace.calls, layout.names
    arrows_of_call = _arrows_of_calls(layout)
    rows = _rows(
        calls.start - layout.offset,
        _length(calls),
        calls.thread,
        calls.name,
        calls.correlation,
        layout.thread_pid[calls.thread],
        layout.host.tid[len(layout.trace.ranges) :],
    )
    for call, (start, length, thread, name, correlation, pid, tid) in enumerate(rows):
        shared_id = f'"correlation":{correlation}' if correlation else ""
        entries = arguments(shared_id, _home_track(thread, tid))
        yield complete(CALL_CATEGORY, names[name], pid, tid, start, length, entries)
        for number in arrows_of_call.get(call, ()):
            yield arrow("s", LAUNCH, number, pid, tid, start)


def _arrows_of_calls(layout: Layout) -> dict[int, list[int]]:
    """Return the arrows that begin at each launch call, by its row."""
    launched = layout.launch_arrows
    with_arrow = launched.number > 0
    pairs = zip(
        launched.call[with_arrow].tolist(), launched.number[with_arrow].tolist(), strict=True
    )
    arrows_of_call: dict[int, list[int]] = {}
    for call, number in pairs:
        arrows_of_call.setdefault(call, []).append(number)
    return arrows_of_call


def _operation_events(layout: Layout, device_index: int) -> Iterator[str]:
    """Yield a device's operations, and behind each the arrow that ends at it."""
    trace, names = layout.trace, layout.names
    device, pid = trace.devices[device_index], layout.device_pid(device_index)
    rows_of_device = layout.device_rows[device_index]
    operations = trace.operations.take(rows_of_device)
    streams = [json.dumps(stream) for stream in trace.streams]
    process = f'"process":{layout.pids[device.process]}' if layout.several_processes else ""
    categories = [OPERATION_CATEGORY[OperationKind(kind)] for kind in operations.kind.tolist()]
    rows = _rows(
        operations.start - layout.offset,
        _length(operations),
        operations.stream,
        operations.name,
        operations.correlation,
        operations.step,
        operations.bytes,
        operations.flops,
        layout.device_tracks[device_index].tid,
        layout.launch_arrows.number[rows_of_device],
    )
    for category, row in zip(categories, rows, strict=True):
        start, length, stream, name, correlation, step, moved, flops, tid, number = row
        entries = arguments(
            f'"device":{device.index},"stream":{streams[stream]}',
            f'"correlation":{correlation},"bytes":{moved}',
            f'"step":{step}' if step >= 0 else "",
            f'"flops":{flops!r}' if _is_known(flops) else "",
            process,
        )
        yield complete(category, names[name], pid, tid, start, length, entries)
        if number:
            yield arrow("f", LAUNCH, number, pid, tid, start)


def _counter_events(layout: Layout) -> Iterator[str]:
    """Yield counters; what happens to single requests as instants on a track of their own."""
    counters, names = layout.trace.counters, layout.names
    pid = next(iter(layout.pids.values()), 1)
    request_pid = layout.request_pid
    of_requests = {code for code, name in enumerate(layout.trace.names) if name in OF_REQUESTS}
    if np.isin(counters.name, list(of_requests)).any():
        # those of one instant lie below each other: in a group that can be folded
        yield metadata("process_name", request_pid, 0, '"name":"requests"')
        yield from track(request_pid, 1, "first tokens and ends")
    for time, name, value in _rows(counters.time - layout.offset, counters.name, counters.value):
        if not math.isfinite(value):  # Perfetto's importer hangs on NaN
            continue
        if name in of_requests:
            yield instant(names[name], request_pid, 1, time, value)
        else:
            yield counter(names[name], pid, time, value)


def _step_arrows(layout: Layout) -> Iterator[str]:
    """Yield the arrows along and between steps, numbered behind those of launches."""
    last_launch = int(layout.launch_arrows.number.max(initial=0))
    step_arrows = arrows.steps(layout.trace)
    for number, (category, ends) in enumerate(step_arrows, last_launch + 1):
        passed = len(ends) - 2
        phases = ["s", *["t"] * passed, "f"]
        for phase, end in zip(phases, ends, strict=True):
            pid, tid = layout.place_of(end)
            time = end.time - layout.offset
            yield arrow(phase, category, number, pid, tid, time)


def _home_track(thread: int, tid: int) -> str:
    """Return the argument that says whose a slice on an extra track is."""
    home = tracks.first_tid(thread)
    return f'"track":{home}' if tid != home else ""


def _length(table: Operations | Calls | Ranges) -> Int64:
    return np.maximum(table.end - table.start, 0)


def _is_known(flops: float) -> bool:
    return math.isfinite(flops) and flops != 0


def _rows(*columns: NDArray[np.generic]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)
