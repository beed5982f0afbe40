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
    for process, process_id in layout.pids.items():
        several = layout.several_processes
        host_label = f"host {layout.process_label(process)}" if several else "host"
        yield metadata("process_name", process_id, 0, _name(host_label))
    host_tracks = layout.host
    first_labels = {
        laid_track.owner: laid_track.label
        for laid_track in host_tracks.tracks
        if laid_track.first
    }
    for thread_index, thread in enumerate(layout.trace.threads):
        process_id, track_id = (
            int(layout.thread_pid[thread_index]),
            tracks.first_tid(thread_index),
        )
        yield metadata(
            "thread_name",
            process_id,
            track_id,
            _name(first_labels.get(thread_index, thread.label)),
        )
    if not host_tracks.extra:
        return
    for track_order, laid_track in enumerate(host_tracks.tracks):
        process_id = int(layout.thread_pid[laid_track.owner])
        if not laid_track.first:
            yield metadata(
                "thread_name", process_id, laid_track.tid, _name(laid_track.label)
            )
        yield metadata(
            "thread_sort_index", process_id, laid_track.tid, f'"sort_index":{track_order}'
        )


def _device_metadata(layout: Layout) -> Iterator[str]:
    """Yield what devices and their streams are called, and the order of streams."""
    for device_index, device in enumerate(layout.trace.devices):
        process_id = layout.device_pid(device_index)
        device_label = device.name or f"device {device.index}"
        if layout.several_processes:
            device_label += f", of {layout.process_label(device.process)}"
        yield metadata("process_name", process_id, 0, _name(device_label))
        for track_order, (_, track_id, stream) in enumerate(
            layout.device_tracks[device_index].tracks
        ):
            yield metadata("thread_name", process_id, track_id, _name(stream))
            yield metadata(
                "thread_sort_index", process_id, track_id, f'"sort_index":{track_order}'
            )


def _range_events(layout: Layout) -> Iterator[str]:
    ranges, span_names = layout.trace.ranges, layout.names
    categories = [
        RANGE_CATEGORY[RangeKind(kind_code)] for kind_code in ranges.kind.tolist()
    ]
    range_rows = _rows(
        ranges.start - layout.offset,
        _length(ranges),
        ranges.thread,
        ranges.name,
        ranges.step,
        layout.thread_pid[ranges.thread],
        layout.host.tid[: len(ranges)],
    )
    for category, range_row in zip(categories, range_rows, strict=True):
        slice_start, length, thread, name_code, step_number, process_id, track_id = (
            range_row
        )
        of_step = f'"step":{step_number}' if step_number >= 0 else ""
        entries = arguments(of_step, _home_track(thread, track_id))
        yield complete(
            category,
            span_names[name_code],
            process_id,
            track_id,
            slice_start,
            length,
            entries,
        )


def _call_events(layout: Layout) -> Iterator[str]:
    """Yield calls, and behind each the arrows that begin at it."""
    call_table, span_names = layout.trace.calls, layout.names
    arrows_of_call = _arrows_of_calls(layout)
    call_rows = _rows(
        call_table.start - layout.offset,
        _length(call_table),
        call_table.thread,
        call_table.name,
        call_table.correlation,
        layout.thread_pid[call_table.thread],
        layout.host.tid[len(layout.trace.ranges) :],
    )
    for call_row, (
        slice_start,
        length,
        thread,
        name_code,
        correlation,
        process_id,
        track_id,
    ) in enumerate(call_rows):
        shared_id = f'"correlation":{correlation}' if correlation else ""
        entries = arguments(shared_id, _home_track(thread, track_id))
        yield complete(
            CALL_CATEGORY,
            span_names[name_code],
            process_id,
            track_id,
            slice_start,
            length,
            entries,
        )
        for number in arrows_of_call.get(call_row, ()):
            yield arrow("s", LAUNCH, number, process_id, track_id, slice_start)


def _arrows_of_calls(layout: Layout) -> dict[int, list[int]]:
    """Return the arrows that begin at each launch call, by its row."""
    launched = layout.launch_arrows
    with_arrow = launched.number > 0
    calls_and_numbers = zip(
        launched.call[with_arrow].tolist(),
        launched.number[with_arrow].tolist(),
        strict=True,
    )
    arrows_of_call: dict[int, list[int]] = {}
    for call_row, number in calls_and_numbers:
        arrows_of_call.setdefault(call_row, []).append(number)
    return arrows_of_call


def _operation_events(layout: Layout, device_index: int) -> Iterator[str]:
    """Yield a device's operations, and behind each the arrow that ends at it."""
    trace, span_names = layout.trace, layout.names
    device, process_id = trace.devices[device_index], layout.device_pid(device_index)
    rows_of_device = layout.device_rows[device_index]
    operations = trace.operations.take(rows_of_device)
    streams = [json.dumps(stream) for stream in trace.streams]
    process = f'"process":{layout.pids[device.process]}' if layout.several_processes else ""
    categories = [
        OPERATION_CATEGORY[OperationKind(kind_code)]
        for kind_code in operations.kind.tolist()
    ]
    operation_rows = _rows(
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
    for category, operation_row in zip(categories, operation_rows, strict=True):
        (
            slice_start,
            length,
            stream,
            name_code,
            correlation,
            step_number,
            moved_bytes,
            flop_count,
            track_id,
            number,
        ) = operation_row
        entries = arguments(
            f'"device":{device.index},"stream":{streams[stream]}',
            f'"correlation":{correlation},"bytes":{moved_bytes}',
            f'"step":{step_number}' if step_number >= 0 else "",
            f'"flops":{flop_count!r}' if _is_known(flop_count) else "",
            process,
        )
        yield complete(
            category,
            span_names[name_code],
            process_id,
            track_id,
            slice_start,
            length,
            entries,
        )
        if number:
            yield arrow("f", LAUNCH, number, process_id, track_id, slice_start)


def _counter_events(layout: Layout) -> Iterator[str]:
    """Yield counters; what happens to single requests as instants on a track of their own."""
    counters, span_names = layout.trace.counters, layout.names
    process_id = next(iter(layout.pids.values()), 1)
    request_pid = layout.request_pid
    of_requests = {
        counter_code
        for counter_code, name_code in enumerate(layout.trace.names)
        if name_code in OF_REQUESTS
    }
    if np.isin(counters.name, list(of_requests)).any():
        # those of one instant lie below each other: in a group that can be folded
        yield metadata("process_name", request_pid, 0, '"name":"requests"')
        yield from track(request_pid, 1, "first tokens and ends")
    for sample_time, name_code, sample_value in _rows(
        counters.time - layout.offset, counters.name, counters.value
    ):
        if not math.isfinite(sample_value):  # Perfetto's importer hangs on NaN
            continue
        if name_code in of_requests:
            yield instant(span_names[name_code], request_pid, 1, sample_time, sample_value)
        else:
            yield counter(span_names[name_code], process_id, sample_time, sample_value)


def _step_arrows(layout: Layout) -> Iterator[str]:
    """Yield the arrows along and between steps, numbered behind those of launches."""
    last_launch = int(layout.launch_arrows.number.max(initial=0))
    step_arrows = arrows.steps(layout.trace)
    for number, (category, arrow_ends) in enumerate(step_arrows, last_launch + 1):
        passed = len(arrow_ends) - 2
        phases = ["s", *["t"] * passed, "f"]
        for arrow_phase, arrow_end in zip(phases, arrow_ends, strict=True):
            process_id, track_id = layout.place_of(arrow_end)
            arrow_time = arrow_end.time - layout.offset
            yield arrow(arrow_phase, category, number, process_id, track_id, arrow_time)


def _home_track(thread: int, tid: int) -> str:
    """Return the argument that says whose a slice on an extra track is."""
    home_track = tracks.first_tid(thread)
    return f'"track":{home_track}' if tid != home_track else ""


def _length(table: Operations | Calls | Ranges) -> Int64:
    return np.maximum(table.end - table.start, 0)


def _is_known(flops: float) -> bool:
    return math.isfinite(flops) and flops != 0


def _rows(*columns: NDArray[np.generic]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)
