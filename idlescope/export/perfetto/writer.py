"""Write a Trace as Chrome JSON that opens in Perfetto and reads back into the same Trace.

The vocabulary is Kineto's, so that the file is also an ordinary torch.profiler trace to other tools: one track a
stream and a thread, launch calls nested in the phase that made them, arrows from each launch to what it launched.
Times are exact: whole nanoseconds, written as decimal microseconds. What Kineto has no word for stands where other
tools do not look:

- `args.track`, of a range or a call on an extra track: the tid of its thread (`tracks` says which ones are extra).
  An operation's stream is `args.stream`, on whatever track it lies.
- `args.process`, of an operation, where the trace holds several processes: the pid of the process that launched it,
  within which correlation ids are unique. Entries of `deviceProperties` have `process` then, too.
- Counters of requests (`phases.OF_REQUESTS`) are instants in a process of their own; `args.value` is the request's id.
- `idlescope.process_names`: the name of each pid, where it is more than the number.
- Events of the category `idlescope`, and arrows of categories that begin so: what was found in the records, and where
  their steps go (derived.py, arrows.py). Read back, they are nothing.
- `idlescope.time_offset_ns`: what was taken from all times, because Perfetto cannot show negative ones and a float64
  cannot hold large ones to the nanosecond.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis.result import DeviceResult
from idlescope.export.perfetto import arrows, derived, tracks
from idlescope.export.perfetto.chrome_events import (
    arguments,
    arrow,
    complete,
    counter,
    instant,
    metadata,
    track,
)
from idlescope.export.processes import pids, process_names
from idlescope.trace.model import Calls, OperationKind, Operations, RangeKind, Ranges, Trace
from idlescope.trace.names.own_engine import OF_REQUESTS
from idlescope.trace.table import Int64

DEVICE_PID = 1000  # plus the device's index in the trace; the next thousand that is above every host process's pid
EXACT_BELOW_NS = (1 << 40) * 1000  # 2**40 us: a float64 has three more bits than a nanosecond needs
LAUNCH = "ac2g"  # the category of arrows from launches, in Kineto's files, too
EVENTS_WRITTEN = 4096  # events that are joined before they are compressed
OPERATION_CATEGORY = {
    OperationKind.KERNEL: "kernel", OperationKind.MEMCPY: "gpu_memcpy", OperationKind.MEMSET: "gpu_memset",
    OperationKind.GRAPH: "gpu_graph",
}  # fmt: skip
RANGE_CATEGORY = {
    RangeKind.ANNOTATION: "user_annotation", RangeKind.OPERATOR: "cpu_op", RangeKind.FRAME: "python_function",
    RangeKind.OVERHEAD: "overhead", RangeKind.GARBAGE_COLLECTION: "gc", RangeKind.NO_DEMAND: "no_demand",
}  # fmt: skip
READERS_OWN = frozenset(
    {"path", "events", "time_offset_ns"}
)  # entries of `Trace.meta` that speak of another file


def write(trace: Trace, path: Path, results: Sequence[DeviceResult] = ()) -> None:
    """Write a Chrome JSON trace, gzipped where the name ends in .gz. Equal traces are equal files.

    Given the results of an analysis of the trace, what it found is written, too (derived.py).
    """
    with path.open("wb") as file:
        _write(trace, results, file, 4 if path.suffix == ".gz" else 0)


def packed(trace: Trace, results: Sequence[DeviceResult] = ()) -> bytes:
    """Return what `write` writes, gzipped as small as it goes.

    The trace may be a piece of the one that the results are of: what lies beyond it is left out.
    """
    buffer = io.BytesIO()
    _write(trace, results, buffer, 9)
    return buffer.getvalue()


def _write(trace: Trace, results: Sequence[DeviceResult], out: IO[bytes], level: int) -> None:
    writer = _Writer(trace)
    with ExitStack() as stack:
        if level:  # without time and name of the file
            out = cast(
                "IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", level, out, mtime=0))
            )
        header = json.dumps(writer.header(), ensure_ascii=False, allow_nan=False)[:-1]
        out.write(header.encode("utf-8", "replace") + b',\n"traceEvents": [\n')
        events, separator = writer.events(results), ""
        while part := list(islice(events, EVENTS_WRITTEN)):
            out.write((separator + ",\n".join(part)).encode())
            separator = ",\n"
        out.write(b"\n]}\n")


def left_out(trace: Trace) -> list[str]:
    """Return one sentence for each kind of record that has no place in a Chrome JSON file."""
    n = int((~np.isfinite(trace.counters.value)).sum())
    return [f"counters that are no numbers have no place in JSON: {n:,} left out"] if n else []


class _Writer:
    """One trace with what is the same for all of its events."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.names = [json.dumps(name) for name in trace.names]
        self.pids = pids(trace)
        self.device_pid = DEVICE_PID * (max(self.pids.values(), default=0) // DEVICE_PID + 1)
        self.offset = time_offset(trace)
        self.thread_pid = np.array([self.pids[t.process] for t in trace.threads], np.int64)
        self.host = tracks.host(trace)
        self.rows = [
            np.flatnonzero(trace.operations.device == i) for i in range(len(trace.devices))
        ]
        self.device = [tracks.device(trace, rows) for rows in self.rows]
        self.arrow_ids, self.arrow_calls = arrows.launches(trace)

    def header(self) -> dict[str, Any]:
        meta = {k: _finite(v) for k, v in self.trace.meta.to_json().items() if k not in READERS_OWN}
        if self.offset:
            meta["time_offset_ns"] = self.offset
        names = {
            str(self.pids[code]): name for code, name in process_names(self.trace).items() if name
        }
        if any(pid != name for pid, name in names.items()):
            meta["process_names"] = names
        header: dict[str, Any] = {"schemaVersion": 1, "displayTimeUnit": "ns"}
        header["deviceProperties"] = [
            {"id": d.index, "name": d.name}
            | ({"process": self.pids[d.process]} if len(self.pids) > 1 else {})
            | ({"uuid": d.identity} if d.identity else {})
            for d in self.trace.devices
        ]
        if "distributedInfo" in meta:
            header["distributedInfo"] = meta["distributedInfo"]
        if isinstance(base := meta.get("baseTimeNanoseconds"), int):
            header["baseTimeNanoseconds"] = base + self.offset
        return header | {"idlescope": meta}

    def events(self, results: Sequence[DeviceResult]) -> Iterator[str]:
        yield from self._metadata()
        yield from self._ranges()
        yield from self._calls()
        for i in range(len(self.trace.devices)):
            yield from self._operations(i)
        yield from self._step_arrows()
        yield from self._samples()
        span = extent(self.trace)
        for result in results:
            index = self.trace.devices.index(result.device)
            behind = max((t.tid for t in self.device[index].tracks), default=0) + 1
            yield from derived.events(
                self.trace, result, self.device_pid + index, behind, span, self.offset
            )

    def _metadata(self) -> Iterator[str]:
        trace, names = self.trace, process_names(self.trace)
        several = len(self.pids) > 1
        for process, pid in self.pids.items():
            label = f"host {names[process] or pid}" if several else "host"
            yield metadata("process_name", pid, 0, f'"name":{json.dumps(label)}')
        labels = {t.owner: t.label for t in self.host.tracks if t.first}
        for i, thread in enumerate(trace.threads):
            label = json.dumps(labels.get(i, thread.label))
            yield metadata(
                "thread_name", int(self.thread_pid[i]), tracks.first_tid(i), f'"name":{label}'
            )
        for place, laid in enumerate(self.host.tracks if self.host.extra else ()):
            pid = int(self.thread_pid[laid.owner])
            if not laid.first:
                yield metadata("thread_name", pid, laid.tid, f'"name":{json.dumps(laid.label)}')
            yield metadata("thread_sort_index", pid, laid.tid, f'"sort_index":{place}')
        for i, device in enumerate(trace.devices):
            pid, label = self.device_pid + i, device.name or f"device {device.index}"
            if several:
                label += f", of {names[device.process] or self.pids[device.process]}"
            yield metadata("process_name", pid, 0, f'"name":{json.dumps(label)}')
            for place, (_, tid, stream) in enumerate(self.device[i].tracks):
                yield metadata("thread_name", pid, tid, f'"name":{json.dumps(stream)}')
                yield metadata("thread_sort_index", pid, tid, f'"sort_index":{place}')

    def _ranges(self) -> Iterator[str]:
        ranges = self.trace.ranges
        category = [RANGE_CATEGORY[RangeKind(k)] for k in ranges.kind.tolist()]
        pid, tid = self.thread_pid[ranges.thread], self.host.tid[: len(ranges)]
        columns = (
            ranges.start - self.offset,
            _length(ranges),
            ranges.thread,
            ranges.name,
            ranges.step,
            pid,
            tid,
        )
        for cat, (start, length, thread, name, step, p, t) in zip(
            category, _rows(*columns), strict=True
        ):
            args = arguments(f'"step":{step}' if step >= 0 else "", _moved(thread, t))
            yield complete(cat, self.names[name], p, t, start, length, args)

    def _calls(self) -> Iterator[str]:
        calls = self.trace.calls
        pid, tid = self.thread_pid[calls.thread], self.host.tid[len(self.trace.ranges) :]
        columns = (
            calls.start - self.offset,
            _length(calls),
            calls.thread,
            calls.name,
            calls.correlation,
            pid,
            tid,
        )
        sent: dict[int, list[int]] = {}
        for row, number in zip(*(c[self.arrow_ids > 0].tolist() for c in (self.arrow_calls, self.arrow_ids)),
                               strict=True):  # fmt: skip
            sent.setdefault(row, []).append(number)
        for row, (start, length, thread, name, correlation, p, t) in enumerate(_rows(*columns)):
            args = arguments(
                f'"correlation":{correlation}' if correlation else "", _moved(thread, t)
            )
            yield complete("cuda_runtime", self.names[name], p, t, start, length, args)
            for number in sent.get(row, ()):
                yield arrow("s", LAUNCH, number, p, t, start)

    def _operations(self, index: int) -> Iterator[str]:
        o, rows, pid = (
            self.trace.operations.take(self.rows[index]),
            self.rows[index],
            self.device_pid + index,
        )
        streams = [json.dumps(s) for s in self.trace.streams]
        device = self.trace.devices[index]
        category = [OPERATION_CATEGORY[OperationKind(k)] for k in o.kind.tolist()]
        process = f'"process":{self.pids[device.process]}' if len(self.pids) > 1 else ""
        columns = (o.start - self.offset, _length(o), o.stream, o.name, o.correlation, o.step, o.bytes, o.flops,
                   self.device[index].tid, self.arrow_ids[rows])  # fmt: skip
        for cat, values in zip(category, _rows(*columns), strict=True):
            start, length, stream, name, correlation, step, moved, flops, tid, number = values
            args = arguments(
                f'"device":{device.index},"stream":{streams[stream]},"correlation":{correlation},"bytes":{moved}',
                f'"step":{step}' if step >= 0 else "", f'"flops":{flops!r}' if _known(flops) else "", process,
            )  # fmt: skip
            yield complete(cat, self.names[name], pid, tid, start, length, args)
            if number:
                yield arrow("f", LAUNCH, number, pid, tid, start)

    def _samples(self) -> Iterator[str]:
        s, pid = self.trace.counters, next(iter(self.pids.values()), 1)
        marks = self.device_pid + len(self.device)  # pid of a group of their own
        events = {i for i, name in enumerate(self.trace.names) if name in OF_REQUESTS}
        if np.isin(
            s.name, list(events)
        ).any():  # those of one instant lie below each other: in a group to be folded
            yield metadata("process_name", marks, 0, '"name":"requests"')
            yield from track(marks, 1, "first tokens and ends")
        for time, name, value in _rows(s.time - self.offset, s.name, s.value):
            if not math.isfinite(value):  # Perfetto's importer hangs on NaN
                continue
            if name in events:
                yield instant(self.names[name], marks, 1, time, value)
            else:
                yield counter(self.names[name], pid, time, value)

    def _step_arrows(self) -> Iterator[str]:
        first = int(self.arrow_ids.max(initial=0)) + 1
        of_operation = np.zeros(len(self.trace.operations), np.int64)
        for rows, laid in zip(self.rows, self.device, strict=True):
            of_operation[rows] = laid.tid
        for number, (category, ends) in enumerate(arrows.steps(self.trace), first):
            for phase, (on_range, row, time) in zip(
                ["s", *"t" * (len(ends) - 2), "f"], ends, strict=True
            ):
                if on_range:
                    pid, tid = self.thread_pid[self.trace.ranges.thread[row]], self.host.tid[row]
                else:
                    pid, tid = (
                        self.device_pid + self.trace.operations.device[row],
                        of_operation[row],
                    )
                yield arrow(phase, category, number, pid, tid, time - self.offset)


def time_offset(trace: Trace) -> int:
    """Return the nanoseconds to take from all times, so that none is negative and all are exact as a float64 of µs."""
    low, high = extent(trace)
    # one microsecond is left: readers, ours too, take a lone time of zero for one that was never recorded
    return low - 1000 if low < 0 or high >= EXACT_BELOW_NS else 0


def extent(trace: Trace) -> tuple[int, int]:
    """Return the first and the last time of a Trace; 0 and 0 of an empty one."""
    times = (trace.operations.start, trace.calls.start, trace.ranges.start, trace.counters.time)
    ends = (trace.operations.end, trace.calls.end, trace.ranges.end)
    low = min((int(t.min()) for t in times if t.size), default=0)
    return low, max((int(t.max()) for t in (*times, *ends) if t.size), default=0)


def _moved(thread: int, tid: int) -> str:
    """Return the argument that says whose a slice on an extra track is."""
    home = tracks.first_tid(thread)
    return f'"track":{home}' if tid != home else ""


def _length(table: Operations | Calls | Ranges) -> Int64:
    return np.maximum(table.end - table.start, 0)


def _known(flops: float) -> bool:
    return math.isfinite(flops) and flops != 0


def _finite(value: Any) -> Any:
    """Return a JSON value without the NaN and infinities that are no JSON."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows(*columns: NDArray[np.generic]) -> Iterator[tuple[Any, ...]]:
    return zip(*(c.tolist() for c in columns), strict=True)
