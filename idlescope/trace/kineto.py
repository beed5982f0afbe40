"""Read a torch.profiler (Kineto) trace into a Trace; its decimal microseconds become integer nanoseconds, exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import TraceError
from idlescope.trace.kineto_events import Args, Batch, Event, KinetoFile
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

NO_ARGS = Args()

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
    except (TypeError, ValueError, OverflowError):
        return default


def _float(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0.0


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
        args = [e.args or NO_ARGS for e in events]
        pairs = list(zip(events, args, strict=True))
        self.parts[Operations].append(
            Operations.of(
                start=start,
                end=end,
                kind=[OPERATION_CATEGORIES[e.cat or ""] for e in events],
                device=self.devices.codes(_int(e.pid if a.device is None else a.device, -1) for e, a in pairs),
                stream=self.streams.codes(str(e.tid if a.stream is None else a.stream) for e, a in pairs),
                name=self.names.codes(str(e.name) for e in events),
                correlation=[_int(a.correlation) for a in args],
                step=[_int(a.step, -1) for a in args],
                bytes=[_int(a.bytes) for a in args],
                flops=[_float(a.flops) for a in args],
            )
        )

    def _add_calls(self, batch: Batch, rows: list[int]) -> None:
        events = [batch.events[i] for i in rows]
        start, end = self._times(batch, rows)
        self.parts[Calls].append(
            Calls.of(
                start=start,
                end=end,
                thread=self._threads(events),
                name=self.names.codes(str(e.name) for e in events),
                correlation=[_int((e.args or NO_ARGS).correlation) for e in events],
            )
        )

    def _add_ranges(self, batch: Batch, rows: list[int]) -> None:
        events = [batch.events[i] for i in rows]
        start, end = self._times(batch, rows)
        self.parts[Ranges].append(
            Ranges.of(
                start=start,
                end=end,
                thread=self._threads(events),
                name=self.names.codes(str(e.name) for e in events),
                kind=[RANGE_CATEGORIES[e.cat or ""] for e in events],
                step=[_int((e.args or NO_ARGS).step, -1) for e in events],
            )
        )

    def _add_counter(self, batch: Batch, row: int) -> None:
        event = batch.events[row]
        if event.args is None or event.args.value is None:
            return
        time = exact_ns([event.ts], lambda: _raw(batch, [row], "ts"))
        value = _float(event.args.value)
        self.parts[Samples].append(Samples.of(time=time, name=[self.names.code(str(event.name))], value=[value]))

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
