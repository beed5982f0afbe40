"""Read a torch.profiler (Kineto) trace into a Trace; its decimal microseconds become integer nanoseconds, exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace.damage import KINDS, LOSS, Damage
from idlescope.trace.interner import Interner
from idlescope.trace.kineto import flows
from idlescope.trace.kineto.parts import read_parts
from idlescope.trace.kineto.processes import Origin, origins
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Calls, Counters, Device, Operations, Ranges, Thread, Trace
from idlescope.trace.table import Int64, Table

KEPT_METADATA = (
    "distributedInfo",
    "trace_id",
    "baseTimeNanoseconds",
    "with_stack",
    "record_shapes",
    "profile_memory",
)
# Kineto writes its own log into the file: a list of messages under each of these keys.
LOG_LEVELS = ("WARNING", "ERROR")


def read(path: Path, progress: Callable[[int], None] | None = None, frames: bool = True) -> Trace:
    """Return the Trace of a Kineto file, `.json` or `.json.gz`.

    `progress` is called with the number of events read so far. Without `frames`, operators and Python frames are left
    out, which takes less memory; only the division of `host` idle needs them. Of a damaged file what can be read is
    read: `meta` says what was repaired and lost. Raises TraceError for a file that is not a Kineto trace or holds no
    events that can be read.
    """
    parts = read_parts(path, frames, progress)
    damage, metadata = Damage(), {}
    for part in parts:
        damage.merge(part.damage)
        metadata.update(part.metadata)
    events = sum(part.events for part in parts)
    if not events:
        lost = f" that can be read ({damage.warnings()[0]})" if damage.notes else ""
        raise TraceError(f"{path} holds no events{lost}: was the profiler started and stepped?")
    names: Interner[str] = Interner()
    streams: Interner[str] = Interner()
    threads: Interner[tuple[str, str]] = Interner()
    gpus: Interner[tuple[str, int, str]] = Interner()
    blocks: list[tuple[int, int]] = []
    thread_names: dict[tuple[str, str], str] = {}
    tables: dict[type[Table], list[Table]] = {Operations: [], Calls: [], Ranges: [], Counters: []}
    for part in parts:
        part.join()
        codes = {
            "name": names.codes(part.names),
            "stream": streams.codes(part.streams),
            "thread": threads.codes(part.threads),
            "device": gpus.codes(part.gpus),
        }
        for kind, own in part.tables.items():
            tables[kind].append(own.pop().recoded(codes))
        thread_names.update(part.thread_names)
        blocks += part.operation_blocks
    # each taken out of the dictionary: a large file's columns are in memory only once
    joined = [kind.joined(tables.pop(kind)) for kind in list(tables)]
    operations, calls, ranges, counters = cast(
        "tuple[Operations, Calls, Ranges, Counters]", tuple(joined)
    )
    operations = operations.take(_once(operations, blocks, damage))
    if len(operations) and not operations.correlation.any():
        operations, calls = flows.linked(path, operations, calls, gpus.values(), threads.values())
    origin = origins(operations, calls, gpus.values(), threads.values())
    written = _written(metadata.get("idlescope"))
    shift = written.pop("time_offset_ns", 0)
    meta: dict[str, Any] = {**written, "format": "kineto", "path": str(path), "events": events}
    meta |= {key: metadata[key] for key in KEPT_METADATA if key in metadata} | damage.to_meta()
    if dropped := _dropped(metadata):
        meta["dropped"] = dropped
    if shift and isinstance(base := meta.get("baseTimeNanoseconds"), int):
        meta["baseTimeNanoseconds"] = base - shift
    called = meta.pop("process_names", None)
    labels = dict(called) if isinstance(called, dict) else {}
    return Trace(
        operations=operations.recoded({"device": origin.device_of}).shifted(shift),
        calls=calls.shifted(shift),
        ranges=ranges.shifted(shift),
        counters=counters.shifted(shift),
        names=names.values(),
        devices=_devices(origin, metadata, labels),
        streams=streams.values(),
        threads=tuple(
            Thread(int(p), thread_names.get(t) or f"{t[0]}:{t[1]}")
            for t, p in zip(threads.values(), origin.process_of, strict=True)
        ),
        meta=Metadata.from_json(meta),
    )


def _once(operations: Operations, blocks: list[tuple[int, int]], damage: Damage) -> Int64:
    """Return the rows of operations, each once: some tools write a record twice. `blocks`: rows and byte of each."""
    o = operations
    order = np.lexsort((o.name, o.correlation, o.stream, o.device, o.end, o.start))
    same = np.ones(max(len(o) - 1, 0), np.bool_)
    for column in (o.start, o.end, o.device, o.stream, o.correlation, o.name):
        same &= column[order[1:]] == column[order[:-1]]
    again = order[1:][same]
    if not again.size:
        return np.arange(len(o))
    ends = np.cumsum([count for count, _ in blocks])
    _, byte = blocks[int(np.searchsorted(ends, again.min(), "right"))]
    # the record itself is still there, so nothing that a figure depends on is lost
    damage.repaired(
        "operations written twice were counted once", f"the block from byte {byte:,}", again.size
    )
    return np.setdiff1d(np.arange(len(o)), again)


def _devices(
    origin: Origin, metadata: dict[str, Any], labels: dict[str, str]
) -> tuple[Device, ...]:
    properties = metadata.get("deviceProperties")
    if isinstance(properties, str):  # some tools write the list as text
        try:
            properties = json.loads(properties.replace("'", '"'))
        except ValueError:
            properties = None
    entries = [p for p in properties if isinstance(p, dict)] if isinstance(properties, list) else []
    # idlescope's own files of several processes say whose device an entry is
    known = {(str(p.get("process", "")), str(p.get("id"))): p for p in entries}
    devices = []
    for process, index in origin.devices:
        pid = origin.process_names[process]
        entry = known.get((pid, str(index))) or known.get(("", str(index)), {})
        name, uuid = str(entry.get("name", "")), str(entry.get("uuid", ""))
        devices.append(Device(process, index, name, str(labels.get(pid, pid)), uuid))
    return tuple(devices)


def _written(said: Any) -> dict[str, Any]:
    """Return what idlescope wrote of a trace that it converted; entries that are not of their type are left out."""
    entries = dict(said) if isinstance(said, dict) else {}
    texts = {key: entries.pop(key, None) for key in ("warnings", "dropped")}
    lost, shift = entries.pop("lost", None), entries.pop("time_offset_ns", None)
    for key, values in texts.items():
        if isinstance(values, list):
            entries[key] = [str(value) for value in values]
    if isinstance(lost, dict):
        entries["lost"] = {k: n for k, n in lost.items() if k in KINDS and isinstance(n, int)}
    if isinstance(shift, int):
        entries["time_offset_ns"] = shift
    return entries


def _dropped(metadata: dict[str, Any]) -> list[str]:
    """Return what the profiler says that it lost."""
    levels = [metadata[level] for level in LOG_LEVELS if isinstance(metadata.get(level), list)]
    return [m for level in levels for m in level if isinstance(m, str) and LOSS.search(m)]
