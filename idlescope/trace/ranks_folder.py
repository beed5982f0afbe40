"""A folder of traces is a set of ranks: one Trace of all their devices, each with its own process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace import unprofiled
from idlescope.trace.damage import KINDS
from idlescope.trace.interner import Interner
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Calls, Counters, Device, Operations, Ranges, Thread, Trace
from idlescope.trace.nsys.reader import is_parquet_export
from idlescope.trace.table import Table

SUFFIXES = (".json", ".json.gz", ".sqlite", ".nsys-rep")
FORMS = 3  # of an Nsight trace: SQLite, a folder of Parquet files, the report


def files(folder: Path) -> list[Path]:
    """Return the traces in a folder, by name. Raises TraceError where there are none."""
    found = [
        path for path in sorted(folder.iterdir())
        if (path.is_file() and path.name.endswith(SUFFIXES) and path.name != unprofiled.FILE)
        or (path.is_dir() and ((path / "meta.json").is_file() or is_parquet_export(path)))
    ]  # fmt: skip
    # exports beside their report, or beside each other, are the same trace again: one is taken
    exported: dict[str, int] = {}
    for path in found:
        exported[_stem(path)] = min(exported.get(_stem(path), FORMS), _export(path))
    found = [path for path in found if _export(path) in (FORMS, exported[_stem(path)])]
    if not found:
        raise TraceError(
            f"{folder} holds no traces: give a recording (a folder with meta.json), an Nsight Parquet export, or a "
            f"folder of files that end in {', '.join(SUFFIXES)}"
        )
    return found


def _export(path: Path) -> int:
    """Return which form of an Nsight trace a path is, the first the best to read; FORMS where it is none."""
    if path.is_dir():
        return FORMS if (path / "meta.json").is_file() else 1
    return {".sqlite": 0, ".nsys-rep": 2}.get(path.suffix, FORMS)


def _stem(path: Path) -> str:
    # nsys calls a folder of Parquet files NAME_pqtdir
    return (
        path.name.removesuffix("_pqtdir").removesuffix(".parquet") if path.is_dir() else path.stem
    )


def merge(
    folder: Path, paths: Sequence[Path], traces: Sequence[Trace], left_out: Sequence[str] = ()
) -> Trace:
    """Return one Trace of several ranks'; `left_out` says, a sentence each, which files of the folder are not in it.

    Processes are called by the rank where the trace states it, else by the file. Times are brought onto one clock
    where every trace states its base in epoch time; else each keeps its own, and `meta["clocks_apart"]` is true.
    """
    if len(traces) == 1:
        said = (*left_out, *traces[0].meta.warnings)
        return replace(traces[0], meta=traces[0].meta.replace(path=str(folder), warnings=said))
    names: Interner[str] = Interner()
    streams: Interner[str] = Interner()
    parts: dict[type[Table], list[Table]] = {Operations: [], Calls: [], Ranges: [], Counters: []}
    devices: list[Device] = []
    threads: list[Thread] = []
    shifts = _shifts(traces)
    meta: dict[str, Any] = {
        "format": _formats(traces),
        "path": str(folder),
        "lost": {},
        "dropped": [],
    }
    meta["warnings"] = list(left_out)
    if shifts is None:
        meta["clocks_apart"] = True
    processes = 0
    for path, trace, shift in zip(paths, traces, shifts or [0] * len(traces), strict=True):
        codes = {
            "name": names.codes(trace.names),
            "stream": streams.codes(trace.streams),
            "thread": np.arange(len(trace.threads), dtype=np.int32) + len(threads),
            "device": np.arange(len(trace.devices), dtype=np.int32) + len(devices),
        }
        for table in (trace.operations, trace.calls, trace.ranges, trace.counters):
            parts[type(table)].append(table.recoded(codes).shifted(shift))
        label = _label(path, trace)
        several = len({d.process for d in trace.devices}) > 1
        devices += [
            replace(
                d,
                process=d.process + processes,
                process_name=f"{label}: {d.process_name}" if several else label,
            )
            for d in trace.devices
        ]
        threads += [replace(t, process=t.process + processes) for t in trace.threads]
        processes += 1 + max(
            (*(d.process for d in trace.devices), *(t.process for t in trace.threads)), default=0
        )
        meta["events"] = meta.get("events", 0) + trace.meta.events
        meta["warnings"] += [f"{path.name}: {w}" for w in trace.meta.warnings]
        meta["dropped"] += trace.meta.dropped
        for kind in KINDS:
            if count := trace.meta.lost.get(kind):
                meta["lost"][kind] = meta["lost"].get(kind, 0) + count
        if trace.meta.truncated:
            meta["truncated"] = True
    joined = [kind.joined(tables) for kind, tables in parts.items()]
    operations, calls, ranges, counters = cast(
        "tuple[Operations, Calls, Ranges, Counters]", tuple(joined)
    )
    return Trace(
        operations=operations, calls=calls, ranges=ranges, counters=counters, names=names.values(),
        devices=tuple(devices), streams=streams.values(), threads=tuple(threads),
        meta=Metadata.from_json(meta),
    )  # fmt: skip


def _shifts(traces: Sequence[Trace]) -> list[int] | None:
    """Return what to add to each trace's times, ns, so that they share the clock of the first; None if not known."""
    bases = [t.meta.epoch_ns for t in traces]
    if not all(isinstance(base, int) for base in bases):
        return None
    return [int(base) - int(bases[0]) for base in bases]  # type: ignore[arg-type]


def _label(path: Path, trace: Trace) -> str:
    rank = trace.meta.distributed.get("rank")
    return f"rank {rank}" if isinstance(rank, int) else path.name


def _formats(traces: Sequence[Trace]) -> str:
    return ", ".join(dict.fromkeys(t.meta.format for t in traces))
