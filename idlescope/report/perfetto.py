"""Write a Trace as Chrome JSON that opens in Perfetto and reads back into the same Trace.

The vocabulary is Kineto's, so that the file is also an ordinary torch.profiler trace to other tools: one track a
stream and a thread, launch calls nested in the phase that made them, arrows from each launch to what it launched.
Times are exact: whole nanoseconds, written as decimal microseconds. What Kineto has no word for stands where other
tools do not look:

- `args.track`, of a range or a call on an extra track: the tid of its thread (`tracks` says which ones are extra).
  An operation's stream is `args.stream`, on whatever track it lies.
- `args.process`, of an operation, where the trace holds several processes: the pid of the process that launched it,
  within which correlation ids are unique. Entries of `deviceProperties` have `process` then, too.
- `idlescope.process_names`: the name of each pid, where it is more than the number.
- `idlescope.time_offset_ns`: what was taken from all times, because Perfetto cannot show negative ones and a float64
  cannot hold large ones to the nanosecond.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from idlescope.analysis import causes
from idlescope.report import tracks
from idlescope.report.processes import pids, process_names
from idlescope.trace.model import Calls, Int64, OperationKind, Operations, RangeKind, Ranges, Trace

DEVICE_PID = 1000  # plus the device's index in the trace; the next thousand that is above every host process's pid
EXACT_BELOW_NS = (1 << 40) * 1000  # 2**40 us: a float64 has three more bits than a nanosecond needs
EVENTS_WRITTEN = 4096  # events that are joined before they are compressed
OPERATION_CATEGORY = {
    OperationKind.KERNEL: "kernel", OperationKind.MEMCPY: "gpu_memcpy", OperationKind.MEMSET: "gpu_memset",
    OperationKind.GRAPH: "gpu_graph",
}  # fmt: skip
RANGE_CATEGORY = {
    RangeKind.ANNOTATION: "user_annotation", RangeKind.OPERATOR: "cpu_op", RangeKind.FRAME: "python_function",
    RangeKind.OVERHEAD: "overhead", RangeKind.GARBAGE_COLLECTION: "gc", RangeKind.NO_DEMAND: "no_demand",
}  # fmt: skip
READERS_OWN = frozenset({"path", "events", "time_offset_ns"})  # entries of `Trace.meta` that speak of another file


def write(trace: Trace, path: Path) -> None:
    """Write a Chrome JSON trace, gzipped where the name ends in .gz. Equal traces are equal files."""
    with path.open("wb") as file:
        _write(trace, file, 4 if path.suffix == ".gz" else 0)


def packed(trace: Trace) -> bytes:
    """Return the file as it is written, gzipped as small as it goes."""
    buffer = io.BytesIO()
    _write(trace, buffer, 9)
    return buffer.getvalue()


def _write(trace: Trace, out: IO[bytes], level: int) -> None:
    writer = _Writer(trace)
    with ExitStack() as stack:
        if level:  # without time and name of the file
            out = cast("IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", level, out, mtime=0)))
        header = json.dumps(writer.header(), ensure_ascii=False, allow_nan=False)[:-1]
        out.write(header.encode("utf-8", "replace") + b',\n"traceEvents": [\n')
        events, separator = writer.events(), ""
        while part := list(islice(events, EVENTS_WRITTEN)):
            out.write((separator + ",\n".join(part)).encode())
            separator = ",\n"
        out.write(b"\n]}\n")


def left_out(trace: Trace) -> list[str]:
    """Return one sentence for each kind of record that has no place in a Chrome JSON file."""
    n = int((~np.isfinite(trace.samples.value)).sum())
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
        self.rows = [np.flatnonzero(trace.operations.device == i) for i in range(len(trace.devices))]
        self.device = [tracks.device(trace, rows) for rows in self.rows]
        self.arrow_ids, self.arrow_calls = arrows(trace)

    def header(self) -> dict[str, Any]:
        meta = {k: _finite(v) for k, v in self.trace.meta.items() if k not in READERS_OWN}
        if self.offset:
            meta["time_offset_ns"] = self.offset
        names = {str(self.pids[code]): name for code, name in process_names(self.trace).items() if name}
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

    def events(self) -> Iterator[str]:
        yield from self._metadata()
        yield from self._ranges()
        yield from self._calls()
        for i in range(len(self.trace.devices)):
            yield from self._operations(i)
        s, pid = self.trace.samples, next(iter(self.pids.values()), 1)
        for time, name, value in zip(s.time.tolist(), s.name.tolist(), s.value.tolist(), strict=True):
            if math.isfinite(value):  # Perfetto's importer hangs on NaN
                number = int(value) if value.is_integer() and abs(value) < 1 << 53 else value
                args = f'"args":{{"value":{number!r}}}'
                yield f'{{"ph":"C","pid":{pid},"tid":0,"ts":{self._us(time)},"name":{self.names[name]},{args}}}'

    def _metadata(self) -> Iterator[str]:
        def entry(what: str, pid: int, tid: int, args: str) -> str:
            return f'{{"ph":"M","name":"{what}","pid":{pid},"tid":{tid},"ts":0,"args":{{{args}}}}}'

        trace, names = self.trace, process_names(self.trace)
        several = len(self.pids) > 1
        for process, pid in self.pids.items():
            label = f"host {names[process] or pid}" if several else "host"
            yield entry("process_name", pid, 0, f'"name":{json.dumps(label)}')
        labels = {t.owner: t.label for t in self.host.tracks if t.first}
        for i, thread in enumerate(trace.threads):
            label = json.dumps(labels.get(i, thread.label))
            yield entry("thread_name", int(self.thread_pid[i]), tracks.first_tid(i), f'"name":{label}')
        for place, track in enumerate(self.host.tracks if self.host.extra else ()):
            pid = int(self.thread_pid[track.owner])
            if not track.first:
                yield entry("thread_name", pid, track.tid, f'"name":{json.dumps(track.label)}')
            yield entry("thread_sort_index", pid, track.tid, f'"sort_index":{place}')
        for i, device in enumerate(trace.devices):
            pid, label = self.device_pid + i, device.name or f"device {device.index}"
            if several:
                label += f", of {names[device.process] or self.pids[device.process]}"
            yield entry("process_name", pid, 0, f'"name":{json.dumps(label)}')
            for place, (_, tid, stream) in enumerate(self.device[i].tracks):
                yield entry("thread_name", pid, tid, f'"name":{json.dumps(stream)}')
                yield entry("thread_sort_index", pid, tid, f'"sort_index":{place}')

    def _ranges(self) -> Iterator[str]:
        ranges = self.trace.ranges
        category = [RANGE_CATEGORY[RangeKind(k)] for k in ranges.kind.tolist()]
        pid, tid = self.thread_pid[ranges.thread], self.host.tid[: len(ranges)]
        columns = (ranges.start, _length(ranges), ranges.thread, ranges.name, ranges.step, pid, tid)
        for cat, (start, length, thread, name, step, p, t) in zip(category, _rows(*columns), strict=True):
            args = _args((f'"step":{step}' if step >= 0 else "", _moved(thread, t)))
            yield self._slice(cat, name, p, t, start, length, args)

    def _calls(self) -> Iterator[str]:
        calls = self.trace.calls
        pid, tid = self.thread_pid[calls.thread], self.host.tid[len(self.trace.ranges) :]
        columns = (calls.start, _length(calls), calls.thread, calls.name, calls.correlation, pid, tid)
        sent: dict[int, list[int]] = {}
        for row, arrow in zip(*(c[self.arrow_ids > 0].tolist() for c in (self.arrow_calls, self.arrow_ids)),
                              strict=True):  # fmt: skip
            sent.setdefault(row, []).append(arrow)
        for row, (start, length, thread, name, correlation, p, t) in enumerate(_rows(*columns)):
            args = _args((f'"correlation":{correlation}' if correlation else "", _moved(thread, t)))
            yield self._slice("cuda_runtime", name, p, t, start, length, args)
            for arrow in sent.get(row, ()):
                yield (
                    f'{{"ph":"s","cat":"ac2g","name":"ac2g","id":{arrow},"pid":{p},"tid":{t},"ts":{self._us(start)}}}'
                )

    def _operations(self, index: int) -> Iterator[str]:
        o, rows, pid = self.trace.operations.take(self.rows[index]), self.rows[index], self.device_pid + index
        streams = [json.dumps(s) for s in self.trace.streams]
        device = self.trace.devices[index]
        category = [OPERATION_CATEGORY[OperationKind(k)] for k in o.kind.tolist()]
        process = f',"process":{self.pids[device.process]}' if len(self.pids) > 1 else ""
        columns = (o.start, _length(o), o.stream, o.name, o.correlation, o.step, o.bytes, o.flops,
                   self.device[index].tid, self.arrow_ids[rows])  # fmt: skip
        for cat, row in zip(category, _rows(*columns), strict=True):
            start, length, stream, name, correlation, step, moved, flops, tid, arrow = row
            optional = (f',"step":{step}' if step >= 0 else "") + (f',"flops":{flops!r}' if _known(flops) else "")
            args = (
                f',"args":{{"device":{device.index},"stream":{streams[stream]},"correlation":{correlation},'
                f'"bytes":{moved}{optional}{process}}}'
            )
            yield self._slice(cat, name, pid, tid, start, length, args)
            if arrow:
                yield (
                    f'{{"ph":"f","bp":"e","cat":"ac2g","name":"ac2g","id":{arrow},"pid":{pid},"tid":{tid},'
                    f'"ts":{self._us(start)}}}'
                )

    def _slice(self, cat: str, name: int, pid: int, tid: int, start: int, length: int, args: str) -> str:
        return (
            f'{{"ph":"X","cat":"{cat}","name":{self.names[name]},"pid":{pid},"tid":{tid},"ts":{self._us(start)},'
            f'"dur":{_us(length)}{args}}}'
        )

    def _us(self, ns: int) -> str:
        return _us(ns - self.offset)


def time_offset(trace: Trace) -> int:
    """Return the nanoseconds to take from all times, so that none is negative and all are exact as a float64 of µs."""
    low, high = extent(trace)
    # one microsecond is left: readers, ours too, take a lone time of zero for one that was never recorded
    return low - 1000 if low < 0 or high >= EXACT_BELOW_NS else 0


def extent(trace: Trace) -> tuple[int, int]:
    """Return the first and the last time of a Trace; 0 and 0 of an empty one."""
    times = (trace.operations.start, trace.calls.start, trace.ranges.start, trace.samples.time)
    ends = (trace.operations.end, trace.calls.end, trace.ranges.end)
    low = min((int(t.min()) for t in times if t.size), default=0)
    return low, max((int(t.max()) for t in (*times, *ends) if t.size), default=0)


def arrows(trace: Trace) -> tuple[Int64, Int64]:
    """Return for each operation the id of the arrow that ends at it, 0 where none does, and the call it comes from.

    There is one arrow from a launch to the first operation that it started on each stream: a graph's others follow on
    the same track. Ids are the correlation ids where those are unique, else running numbers. An operation that began
    before its launch, by its times, has none: time runs forward along an arrow.
    """
    o = trace.operations
    call = causes.link(trace, o)
    ids = np.zeros(len(o), np.int64)
    linked = np.flatnonzero(call >= 0)
    linked = linked[o.start[linked] >= trace.calls.start[call[linked]]]
    linked = linked[np.lexsort((o.start[linked], o.stream[linked], o.device[linked], call[linked]))]
    pairs = np.stack((call[linked], o.device[linked], o.stream[linked]))
    first = np.ones(linked.size, np.bool_)
    first[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
    chosen = linked[first]
    unique = np.unique(o.correlation[chosen]).size == chosen.size and (o.correlation[chosen] > 0).all()
    ids[chosen] = o.correlation[chosen] if unique else np.arange(1, chosen.size + 1)
    return ids, call


def _args(entries: tuple[str, ...]) -> str:
    known = ",".join(e for e in entries if e)
    return f',"args":{{{known}}}' if known else ""


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


def _us(ns: int) -> str:
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 1000}.{ns % 1000:03d}"
