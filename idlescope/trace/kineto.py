"""Read a torch.profiler (Kineto) trace into a Trace. Times are exact: decimal microseconds become integer nanoseconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import TraceError
from idlescope.trace.kineto_events import Batch, Event, KinetoFile
from idlescope.trace.model import (
    Calls,
    Device,
    Int64,
    OperationKind,
    Operations,
    RangeKind,
    Ranges,
    Samples,
    Table,
    Thread,
    Trace,
)
from idlescope.trace.strings import Interner

OPERATION_CATEGORIES = {
    "kernel": OperationKind.KERNEL, "gpu_memcpy": OperationKind.MEMCPY, "gpu_memset": OperationKind.MEMSET,
    "gpu_graph": OperationKind.GRAPH,  # written by idlescope for graph-level records
    "Kernel": OperationKind.KERNEL, "Memcpy": OperationKind.MEMCPY, "Memset": OperationKind.MEMSET,  # torch < 1.12
}  # fmt: skip
CALL_CATEGORIES = frozenset({"cuda_runtime", "cuda_driver", "Runtime", "privateuse1_runtime", "privateuse1_driver"})
RANGE_CATEGORIES = {
    "user_annotation": RangeKind.ANNOTATION, "cpu_op": RangeKind.OPERATOR, "python_function": RangeKind.FRAME,
    "overhead": RangeKind.OVERHEAD, "gc": RangeKind.GARBAGE_COLLECTION, "no_demand": RangeKind.NO_DEMAND,
    "Operator": RangeKind.OPERATOR,
}  # fmt: skip

# A float64 holds microseconds to within half a nanosecond below this value: 2**43 us is 101 days.
EXACT_BELOW_US = float(2**43)


def read(path: Path, progress: Callable[[int], None] | None = None) -> Trace:
    """Return the Trace of a Kineto file, `.json` or `.json.gz`.

    `progress` is called with the number of events after each batch. Raises TraceError for a file that is not JSON, is
    cut short, or holds no events.
    """
    file = KinetoFile(path)
    builder = _Builder()
    for batch in file:
        builder.add(batch)
        if progress is not None:
            progress(builder.events)
    return builder.build(path, file.metadata)


def exact_ns(times: Sequence[Any], raw: Callable[[], Sequence[str]]) -> Int64:
    """Return microseconds as int64 nanoseconds, exactly.

    `times` holds ints, floats or text. Where a float is too large to be exact, `raw()` gives the text of every value.
    """
    try:
        values = np.array(times, np.float64)
    except (ValueError, TypeError):
        values = np.full(len(times), np.nan)
    if np.isfinite(values).all():
        if (np.abs(values) < EXACT_BELOW_US).all():
            whole = np.floor(values)
            return (whole * 1000).astype(np.int64) + np.rint((values - whole) * 1000).astype(np.int64)
        if all(type(t) is int for t in times):
            return np.array(times, np.int64) * 1000
    return np.array([_text_ns(t) for t in raw()], np.int64)


def _text_ns(text: str) -> int:
    try:
        return int((Decimal(text.strip('"') or "0") * 1000).to_integral_value())
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise TraceError(f"a time in the trace is not a number: {text[:40]}") from error


def _int(value: Any, default: int = 0) -> int:
    """Return an id that the profiler wrote as a number, as text, or not at all."""
    try:
        return default if value is None else int(value)
    except (ValueError, OverflowError):
        return default


class _Builder:
    """Collects columns batch by batch."""

    def __init__(self) -> None:
        self.events = 0
        self.names: Interner[str] = Interner()
        self.devices: Interner[int] = Interner()
        self.streams: Interner[str] = Interner()
        self.threads: Interner[tuple[str, str]] = Interner()
        self.thread_names: dict[tuple[str, str], str] = {}
        self.parts: dict[type[Table], list[Table]] = {Operations: [], Calls: [], Ranges: [], Samples: []}

    def add(self, batch: Batch) -> None:
        events = batch.events
        self.events += len(events)
        spans = [i for i, e in enumerate(events) if e.ph == "X"]
        operations = [i for i in spans if events[i].cat in OPERATION_CATEGORIES]
        calls = [i for i in spans if events[i].cat in CALL_CATEGORIES]
        ranges = [i for i in spans if events[i].cat in RANGE_CATEGORIES]
        for i, e in enumerate(events):
            if e.ph == "M" and e.name == "thread_name" and e.args is not None:
                self.thread_names[str(e.pid), str(e.tid)] = str(e.args.name)
            elif e.ph == "C":
                self._add_counter(batch, i)
        if operations:
            self._add_operations(batch, operations)
        if calls:
            self._add_calls(batch, calls)
        if ranges:
            self._add_ranges(batch, ranges)

    def _times(self, batch: Batch, rows: list[int]) -> tuple[Int64, Int64]:
        events = batch.events
        start = exact_ns([events[i].ts for i in rows], lambda: _raw(batch, rows, "ts"))
        duration = exact_ns([events[i].dur for i in rows], lambda: _raw(batch, rows, "dur"))
        return start, start + duration

    def _add_operations(self, batch: Batch, rows: list[int]) -> None:
        events = [batch.events[i] for i in rows]
        start, end = self._times(batch, rows)
        args = [e.args for e in events]
        self.parts[Operations].append(
            Operations(
                start=start,
                end=end,
                kind=np.array([OPERATION_CATEGORIES[e.cat or ""] for e in events], np.uint8),
                device=self.devices.codes(_int(a.device if a and a.device is not None else e.pid, -1)
                                          for e, a in zip(events, args, strict=True)),
                stream=self.streams.codes(str(a.stream if a and a.stream is not None else e.tid)
                                          for e, a in zip(events, args, strict=True)),
                name=self.names.codes(str(e.name) for e in events),
                correlation=np.array([_int(a.correlation) if a else 0 for a in args], np.int64),
                step=np.array([_int(a.step, -1) if a else -1 for a in args], np.int32),
                bytes=np.array([_int(a.bytes) if a else 0 for a in args], np.int64),
                flops=np.array([float(a.flops or 0) if a else 0.0 for a in args]),
            )  # fmt: skip
        )

    def _add_calls(self, batch: Batch, rows: list[int]) -> None:
        events = [batch.events[i] for i in rows]
        start, end = self._times(batch, rows)
        correlation = [_int(e.args.correlation) if e.args else 0 for e in events]
        self.parts[Calls].append(
            Calls(start, end, self._threads(events), self.names.codes(str(e.name) for e in events),
                  np.array(correlation, np.int64))
        )  # fmt: skip

    def _add_ranges(self, batch: Batch, rows: list[int]) -> None:
        events = [batch.events[i] for i in rows]
        start, end = self._times(batch, rows)
        kind = [RANGE_CATEGORIES[e.cat or ""] for e in events]
        step = [_int(e.args.step, -1) if e.args else -1 for e in events]
        self.parts[Ranges].append(
            Ranges(start, end, self._threads(events), self.names.codes(str(e.name) for e in events),
                   np.array(kind, np.uint8), np.array(step, np.int32))
        )  # fmt: skip

    def _add_counter(self, batch: Batch, row: int) -> None:
        event = batch.events[row]
        if event.args is None or event.args.value is None:
            return
        time = exact_ns([event.ts], lambda: _raw(batch, [row], "ts"))
        name = np.array([self.names.code(str(event.name))])
        self.parts[Samples].append(Samples(time, name, np.array([float(event.args.value)])))

    def _threads(self, events: list[Event]) -> NDArray[np.int32]:
        return self.threads.codes((str(e.pid), str(e.tid)) for e in events)

    def build(self, path: Path, metadata: dict[str, Any]) -> Trace:
        if not self.events:
            raise TraceError(f"{path} holds no events: was the profiler started and stepped?")
        tables = {kind: _concatenate(kind, parts) for kind, parts in self.parts.items()}
        threads, calls = self.threads.values(), tables[Calls]
        # One Kineto file is one process's view: its correlation ids are one space, whatever its pids are called.
        callers = {threads[t][0] for t in np.unique(calls.thread)} if len(calls) else set()  # type: ignore[attr-defined]
        known = _device_names(metadata)
        meta: dict[str, Any] = {"format": "kineto", "path": str(path), "events": self.events}
        meta.update(metadata.get("idlescope") or {})
        for key in ("distributedInfo", "trace_id", "baseTimeNanoseconds"):
            if key in metadata:
                meta[key] = metadata[key]
        return Trace(
            operations=tables[Operations],  # type: ignore[arg-type]
            calls=calls,  # type: ignore[arg-type]
            ranges=tables[Ranges],  # type: ignore[arg-type]
            samples=tables[Samples],  # type: ignore[arg-type]
            names=self.names.values(),
            devices=tuple(Device(0, d, known.get(d, ""), ", ".join(sorted(callers))) for d in self.devices.values()),
            streams=self.streams.values(),
            threads=tuple(Thread(0, self.thread_names.get(t) or f"{t[0]}:{t[1]}") for t in threads),
            meta=meta,
        )


def _raw(batch: Batch, rows: list[int], which: str) -> list[str]:
    raw = batch.raw()
    return [bytes(getattr(raw[i], which)).decode() for i in rows]


def _concatenate(kind: type[Table], parts: list[Table]) -> Table:
    if not parts:
        return kind.empty()
    return kind(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in kind.DTYPES})


def _device_names(metadata: dict[str, Any]) -> dict[int, str]:
    properties = metadata.get("deviceProperties")
    if isinstance(properties, str):  # some tools write the list as text
        try:
            properties = json.loads(properties.replace("'", '"'))
        except ValueError:
            return {}
    if not isinstance(properties, list):
        return {}
    return {_int(p.get("id"), -1): str(p.get("name", "")) for p in properties if isinstance(p, dict)}
