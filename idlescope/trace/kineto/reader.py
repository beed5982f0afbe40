"""Read a torch.profiler (Kineto) trace into a Trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.distinct import without
from idlescope.trace.interner import Interner
from idlescope.trace.kineto import categories, document, flows, own_files
from idlescope.trace.kineto.columns import Gpu, Part, Track
from idlescope.trace.kineto.parts import Reading, read_parts
from idlescope.trace.kineto.processes import origins
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import (
    Calls,
    Collectives,
    Counters,
    Operations,
    RangeKind,
    Ranges,
    Thread,
    Trace,
)
from idlescope.trace.table import Int64, Table

TableT = TypeVar("TableT", bound=Table)


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a Kineto file, `.json` or `.json.gz`.

    Decimal microseconds become integer nanoseconds, exactly. `progress` is called with the number
    of events read so far. Without `frames`, operators and Python frames are left out, which takes
    less memory; only the division of `host` idle needs them. Of a damaged file what can be read is
    read: `meta` says what was repaired and lost.

    Raises TraceError for a file that is not a Kineto trace or holds no events that can be read.
    """
    own = own_files.written_by_idlescope(path)
    whole = _joined(path, read_parts(Reading(path, frames, own), progress))
    operations = whole.operations.take(_distinct_rows(whole))
    calls = whole.calls
    if len(operations) and not operations.correlation.any():
        operations, calls = flows.linked(path, operations, calls, whole.gpus, whole.threads)
    origin = origins(operations, calls, whole.gpus, whole.threads)
    stated = own_files.stated(whole.document) if own else {}
    # what had been lost when it was written is added at the end, and counts once
    meta = stated | {"lost": {}} | _meta(path, whole)
    shift = meta.pop("time_offset_ns", 0)
    if shift and isinstance(base := meta.get("baseTimeNanoseconds"), int):
        meta["baseTimeNanoseconds"] = base - shift
    # what our own writer called an operator was one
    ranges = whole.ranges if own else _steps_as_annotations(whole.ranges, whole.names)
    labels = meta.pop("process_names", None)
    process_labels = labels if isinstance(labels, dict) else {}
    return Trace(
        operations=operations.recoded({"device": origin.device_of}).shifted(shift),
        calls=calls.shifted(shift),
        ranges=ranges.shifted(shift),
        counters=whole.counters.shifted(shift),
        names=whole.names,
        devices=document.devices(origin, whole.document, process_labels),
        streams=whole.streams,
        threads=tuple(
            Thread(int(process), whole.thread_names.get(track) or f"{track[0]}:{track[1]}")
            for track, process in zip(whole.threads, origin.process_of, strict=True)
        ),
        meta=Metadata.from_json(meta).with_losses_of(Metadata.from_json(stated)),
        collectives=whole.collectives.recoded({"device": origin.device_of}),
    )


@dataclass
class _Whole:
    """All parts of a file as one: tables whose codes are indices into what stands beside them."""

    operations: Operations  # `device` holds indices into `gpus`
    calls: Calls
    ranges: Ranges
    counters: Counters
    collectives: Collectives
    names: tuple[str, ...]
    streams: tuple[str, ...]
    threads: tuple[Track, ...]
    gpus: tuple[Gpu, ...]
    thread_names: dict[Track, str]
    operation_blocks: list[tuple[int, int]]
    document: dict[str, Any]
    damage: Damage
    events: int


def _joined(path: Path, parts: list[Part]) -> _Whole:
    """Return the parts of a file as one; their tables are taken from them."""
    damage, around_events = Damage(), {}
    for file_part in parts:
        damage.merge(file_part.damage)
        around_events.update(file_part.metadata)
    events = sum(file_part.events for file_part in parts)
    if not events:
        reason = f" that can be read ({damage.warnings()[0]})" if damage.notes else ""
        raise TraceError(
            f"{path} holds no events{reason}: was the profiler started and stepped?"
        )

    names: Interner[str] = Interner()
    streams: Interner[str] = Interner()
    threads: Interner[Track] = Interner()
    gpus: Interner[Gpu] = Interner()
    tables: dict[type[Table], list[Table]] = {
        Operations: [],
        Calls: [],
        Ranges: [],
        Counters: [],
        Collectives: [],
    }
    thread_names: dict[Track, str] = {}
    operation_blocks: list[tuple[int, int]] = []
    for file_part in parts:
        file_part.join()
        codes = {
            "name": names.codes(file_part.names),
            "stream": streams.codes(file_part.streams),
            "thread": threads.codes(file_part.threads),
            "device": gpus.codes(file_part.gpus),
        }
        for kind, part_tables in file_part.tables.items():
            tables[kind].append(part_tables.pop().recoded(codes))
        thread_names.update(file_part.thread_names)
        operation_blocks += file_part.operation_blocks
    return _Whole(
        operations=_taken(tables, Operations),
        calls=_taken(tables, Calls),
        ranges=_taken(tables, Ranges),
        counters=_taken(tables, Counters),
        collectives=_taken(tables, Collectives),
        names=names.values(),
        streams=streams.values(),
        threads=threads.values(),
        gpus=gpus.values(),
        thread_names=thread_names,
        operation_blocks=operation_blocks,
        document=around_events,
        damage=damage,
        events=events,
    )


def _taken(tables: dict[type[Table], list[Table]], kind: type[TableT]) -> TableT:
    """Return one table of a kind, taken out: a large file's columns are in memory only once."""
    return kind.joined(cast("list[TableT]", tables.pop(kind)))


def _steps_as_annotations(ranges: Ranges, names: tuple[str, ...]) -> Ranges:
    """Return the ranges; those of torch.profiler's steps are annotations, also in old files."""
    step_names = [
        code for code, name in enumerate(names) if name.startswith(categories.STEP_NAME)
    ]
    if not step_names:
        return ranges
    operators = np.flatnonzero(ranges.kind == RangeKind.OPERATOR)
    steps = operators[np.isin(ranges.name[operators], step_names)]
    if not steps.size:
        return ranges
    kind = ranges.kind.copy()
    kind[steps] = RangeKind.ANNOTATION
    return ranges.replace(kind=kind)


def _distinct_rows(whole: _Whole) -> Int64:
    """Return the rows of operations, each record once: some tools write one twice."""
    operations = whole.operations
    columns: list[NDArray[Any]] = [
        operations.start,
        operations.end,
        operations.device,
        operations.stream,
        operations.correlation,
        operations.name,
    ]
    # equal records stand one behind the other in this order
    order = np.lexsort(columns[::-1])
    repeats = np.ones(max(len(operations) - 1, 0), np.bool_)
    for column in columns:
        repeats &= column[order[1:]] == column[order[:-1]]
    repeated = order[1:][repeats]
    if not repeated.size:
        return np.arange(len(operations))

    # the record itself is still there, so nothing that a figure depends on is lost
    block_ends = np.cumsum([count for count, _ in whole.operation_blocks])
    block = int(np.searchsorted(block_ends, repeated.min(), "right"))
    _, byte = whole.operation_blocks[block]
    whole.damage.repaired(
        "operations written twice were counted once",
        f"the block from byte {byte:,}",
        repeated.size,
    )
    return without(np.arange(len(operations)), repeated)


def _meta(path: Path, whole: _Whole) -> dict[str, Any]:
    """Return the entries of `Trace.meta` that any file has."""
    around_events = whole.document
    meta: dict[str, Any] = {"format": "kineto", "path": str(path), "events": whole.events}
    meta |= {
        key: around_events[key] for key in document.KEPT_ENTRIES if key in around_events
    }
    meta |= whole.damage.to_meta()
    if dropped := document.dropped(around_events):
        meta["dropped"] = dropped
    if errors := document.profiler_errors(around_events):
        meta["profiler_errors"] = errors
    return meta
