"""Write a Trace as Chrome JSON that opens in Perfetto and reads back into the same Trace.

The vocabulary is Kineto's, so that the file is also an ordinary torch.profiler trace to other tools: one track a
stream and a thread, launch calls nested in the phase that made them, arrows from each launch to what it launched.
Times are exact: whole nanoseconds, written as decimal microseconds from the start of the recording.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from idlescope.trace.model import OperationKind, RangeKind, Trace

HOST_PID = 1
DEVICE_PID = 1000  # plus the device's index in the trace
OPERATION_CATEGORY = {
    OperationKind.KERNEL: "kernel", OperationKind.MEMCPY: "gpu_memcpy", OperationKind.MEMSET: "gpu_memset",
    OperationKind.GRAPH: "gpu_graph",
}  # fmt: skip
RANGE_CATEGORY = {
    RangeKind.ANNOTATION: "user_annotation", RangeKind.OPERATOR: "cpu_op", RangeKind.FRAME: "python_function",
    RangeKind.OVERHEAD: "overhead", RangeKind.GARBAGE_COLLECTION: "gc", RangeKind.NO_DEMAND: "no_demand",
}  # fmt: skip


def write(trace: Trace, path: Path) -> None:
    """Write a gzipped Chrome JSON trace. Slices of one track must nest, as those of our own recordings do."""
    header = {
        "schemaVersion": 1,
        "displayTimeUnit": "ns",
        "deviceProperties": [{"id": d.index, "name": d.name} for d in trace.devices],
        "idlescope": trace.meta,
    }
    # mtime and file name are left out, so that equal traces are equal files
    with path.open("wb") as file, gzip.GzipFile("", "wb", 4, file, mtime=0) as out:
        out.write(json.dumps(header, ensure_ascii=False)[:-1].encode() + b',\n"traceEvents": [\n')
        out.write(",\n".join(_events(trace)).encode() + b"\n]}\n")


def _events(trace: Trace) -> Iterator[str]:
    names = [json.dumps(name) for name in trace.names]
    yield from _metadata(trace)
    yield from _host(trace, names)
    yield from _device(trace, names)
    s = trace.samples
    for time, name, value in zip(s.time.tolist(), s.name.tolist(), s.value.tolist(), strict=True):
        args = f'"args":{{"value":{value:.12g}}}'
        yield f'{{"ph":"C","pid":{HOST_PID},"tid":0,"ts":{_us(time)},"name":{names[name]},{args}}}'


def _metadata(trace: Trace) -> Iterator[str]:
    def entry(what: str, pid: int, tid: int, args: str) -> str:
        return f'{{"ph":"M","name":"{what}","pid":{pid},"tid":{tid},"ts":0,"args":{{{args}}}}}'

    yield entry("process_name", HOST_PID, 0, '"name":"host"')
    for i, thread in enumerate(trace.threads):
        yield entry("thread_name", HOST_PID, i, f'"name":{json.dumps(thread.label)}')
    for i, device in enumerate(trace.devices):
        yield entry("process_name", DEVICE_PID + i, 0, f'"name":{json.dumps(device.name or f"device {device.index}")}')
        for tid, stream in enumerate(trace.streams):
            yield entry("thread_name", DEVICE_PID + i, tid, f'"name":{json.dumps(stream)}')
            yield entry("thread_sort_index", DEVICE_PID + i, tid, f'"sort_index":{tid}')


def _host(trace: Trace, names: list[str]) -> Iterator[str]:
    ranges, calls = trace.ranges, trace.calls
    category = [RANGE_CATEGORY[RangeKind(k)] for k in ranges.kind.tolist()]
    columns = (ranges.start, ranges.end - ranges.start, ranges.thread, ranges.name, ranges.step)
    for c, (start, length, thread, name, step) in zip(category, _rows(*columns), strict=True):
        args = f',"args":{{"step":{step}}}' if step >= 0 else ""
        yield (
            f'{{"ph":"X","cat":"{c}","name":{names[name]},"pid":{HOST_PID},"tid":{thread},"ts":{_us(start)},'
            f'"dur":{_us(length)}{args}}}'
        )
    made = (calls.start, calls.end - calls.start, calls.thread, calls.name, calls.correlation)
    launching = np.isin(calls.correlation, trace.operations.correlation) & (calls.correlation != 0)
    for flows, (start, length, thread, name, correlation) in zip(launching.tolist(), _rows(*made), strict=True):
        args = f',"args":{{"correlation":{correlation}}}' if correlation else ""
        yield (
            f'{{"ph":"X","cat":"cuda_runtime","name":{names[name]},"pid":{HOST_PID},"tid":{thread},"ts":{_us(start)},'
            f'"dur":{_us(length)}{args}}}'
        )
        if flows:
            yield (
                f'{{"ph":"s","cat":"ac2g","name":"ac2g","id":{correlation},"pid":{HOST_PID},"tid":{thread},'
                f'"ts":{_us(start)}}}'
            )


def _device(trace: Trace, names: list[str]) -> Iterator[str]:
    o = trace.operations
    streams = [json.dumps(s) for s in trace.streams]
    index = [d.index for d in trace.devices]
    category = [OPERATION_CATEGORY[OperationKind(k)] for k in o.kind.tolist()]
    launched = (np.isin(o.correlation, trace.calls.correlation) & (o.correlation != 0)).tolist()
    columns = (o.start, o.end - o.start, o.device, o.stream, o.name, o.correlation, o.step, o.bytes, o.flops)
    for c, flow, row in zip(category, launched, _rows(*columns), strict=True):
        start, length, device, stream, name, correlation, step, moved, flops = row
        pid = DEVICE_PID + device
        optional = (f',"step":{step}' if step >= 0 else "") + (f',"flops":{flops!r}' if flops else "")
        yield (
            f'{{"ph":"X","cat":"{c}","name":{names[name]},"pid":{pid},"tid":{stream},"ts":{_us(start)},'
            f'"dur":{_us(length)},"args":{{"device":{index[device]},"stream":{streams[stream]},'
            f'"correlation":{correlation},"bytes":{moved}{optional}}}}}'
        )
        if flow:
            yield (
                f'{{"ph":"f","bp":"e","cat":"ac2g","name":"ac2g","id":{correlation},"pid":{pid},"tid":{stream},'
                f'"ts":{_us(start)}}}'
            )


def _rows(*columns: np.ndarray[tuple[int], np.dtype[np.generic]]) -> Iterator[tuple[int, ...]]:
    return zip(*(c.tolist() for c in columns), strict=True)


def _us(ns: int) -> str:
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 1000}.{ns % 1000:03d}"
