"""A folder of traces is a set of ranks: one Trace of all their devices, each of its own process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace import formats, unprofiled
from idlescope.trace.damage import KINDS
from idlescope.trace.distinct import distinct
from idlescope.trace.interner import Interner
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import (
    Calls,
    Collectives,
    Counters,
    Device,
    Operations,
    Ranges,
    Thread,
    Trace,
    TracePart,
)
from idlescope.trace.names.communication import Collective, collective
from idlescope.trace.other_tools import READ_TOOLS
from idlescope.trace.ranks_recordings import RecordedFile
from idlescope.trace.ranks_said import with_rank, world_size
from idlescope.trace.table import Table

TableT = TypeVar("TableT", bound=Table)

MOST_FILES = 100_000  # the largest jobs that are spoken of have as many GPUs


class Rank(NamedTuple):
    """One trace of a folder."""

    path: Path
    trace: Trace

    @classmethod
    def of(cls, path: Path, trace: Trace) -> Rank:
        """Return a file's trace as that of the rank that it, or its name, says it is.

        Names of files count only where something is communicated: else they may be servers.
        """
        said = trace.meta.distributed
        if "rank" not in said and _communicates(trace):
            said = with_rank(path.name, said)
        return cls(path, replace(trace, meta=trace.meta.replace(distributed=said)))

    @property
    def recorded(self) -> RecordedFile:
        """Return what tells it from another recording of the same rank."""
        meta, operations = self.trace.meta, self.trace.operations
        known = meta.epoch_ns is not None and len(operations) > 0
        epoch_ns = meta.epoch_ns or 0
        return RecordedFile(
            file=self.path.name,
            distributed=meta.distributed,
            events=meta.events,
            start_ns=epoch_ns + int(operations.start.min()) if known else None,
            end_ns=epoch_ns + int(operations.end.max()) if known else None,
        )


def files(folder: Path) -> list[Path]:
    """Return the traces in a folder, by name. Raises TraceError where there are none.

    Exports beside their report, or beside each other, are the same trace again: one is taken.
    """
    _refuse_crowd(folder)
    files_found: list[Path] = []
    forms_of: dict[tuple[str, str], list[int]] = {}
    for file_path in sorted(folder.iterdir()):
        form_index = _form(file_path)
        if form_index is not None:
            files_found.append(file_path)
            forms_of.setdefault(_trace(file_path, form_index), []).append(form_index)
    if not files_found:
        raise TraceError(
            f"{folder} holds no traces, by the names of its files: give a recording, or "
            f"{READ_TOOLS}"
        )
    return [file_path for file_path in files_found if _is_best_form(file_path, forms_of)]


def _refuse_crowd(folder: Path) -> None:
    """Raise TraceError where a folder holds more than any job has ranks."""
    with os.scandir(folder) as entries:
        if next(islice(entries, MOST_FILES, None), None) is not None:
            raise TraceError(
                f"{folder} holds over {MOST_FILES:,} files, more than any job has ranks: give a "
                "folder of its traces alone"
            )


def _is_best_form(path: Path, forms_of: dict[tuple[str, str], list[int]]) -> bool:
    form_index = _form(path)
    return form_index is not None and form_index == min(forms_of[_trace(path, form_index)])


def _trace(path: Path, form: int) -> tuple[str, str]:
    """Return what forms of one trace have in common: the name of the format, and their own."""
    trace_format = formats.FORMATS[form]
    return trace_format.name, _stem(path, trace_format.suffixes)


def _form(path: Path) -> int | None:
    """Return which of FORMATS a path has, from the name of a file and the content of a folder."""
    if path.name == unprofiled.FILE:
        return None
    for form_index, trace_format in enumerate(formats.FORMATS):
        if (
            path.is_dir()
            and not trace_format.suffixes
            and trace_format.recognises(path, b"")
        ):
            return form_index
        if path.is_file() and path.name.endswith(trace_format.suffixes):
            return form_index
    return None


def _stem(path: Path, suffixes: Sequence[str]) -> str:
    if path.is_dir():  # nsys calls a folder of Parquet files NAME_pqtdir
        return path.name.removesuffix("_pqtdir").removesuffix(".parquet")
    own_suffix = next(suffix for suffix in suffixes if path.name.endswith(suffix))
    return path.name.removesuffix(own_suffix)


def labelled(rank: Rank) -> Trace:
    """Return a rank's trace, its processes called by the rank, as in the trace of a folder."""
    merged = _MergedTables()
    merged.add(rank, _label(rank), 0)
    return replace(rank.trace, devices=tuple(merged.devices))


def merge(folder: Path, ranks: Sequence[Rank], left_out: Sequence[str] = ()) -> Trace:
    """Return one Trace of several ranks'.

    `left_out` says, a sentence each, which files of the folder are not in it. Processes are called
    by the rank where the trace states it, else by the file. Times are brought onto one clock where
    every trace states its base in epoch time; else each keeps its own, and `meta.clocks_apart` is
    true.
    """
    if len(ranks) == 1:
        first_trace = ranks[0].trace
        first_meta = first_trace.meta
    else:
        first_trace, first_meta = _merge_tables(ranks), _merged_meta(ranks)
    warnings = (*left_out, *first_meta.warnings)
    return replace(
        first_trace, meta=first_meta.replace(path=str(folder), warnings=warnings)
    )


def _merge_tables(ranks: Sequence[Rank]) -> Trace:
    merged = _MergedTables()
    shifts = _shifts(ranks) or [0] * len(ranks)
    labels = [_label(rank) for rank in ranks]
    times_used = Counter(labels)
    for rank, label, rank_shift in zip(ranks, labels, shifts, strict=True):
        # Two servers may each be rank 0 of their own.
        whose = f" ({rank.path.name})" if times_used[label] > 1 else ""
        merged.add(rank, f"{label}{whose}", rank_shift)
    return merged.trace()


@dataclass
class _MergedTables:
    """The tables of several traces; each trace's codes are changed to codes of all of them."""

    names: Interner[str] = field(default_factory=Interner)
    streams: Interner[str] = field(default_factory=Interner)
    devices: list[Device] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)
    processes: int = 0
    operations: list[Operations] = field(default_factory=list)
    calls: list[Calls] = field(default_factory=list)
    ranges: list[Ranges] = field(default_factory=list)
    counters: list[Counters] = field(default_factory=list)
    collectives: list[Collectives] = field(default_factory=list)
    files: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def add(self, rank: Rank, label: str, shift: int) -> None:
        """Add one rank's trace, its processes called `label`, its times `shift` ns later."""
        rank_trace = rank.trace
        new_codes = {
            "name": self.names.codes(rank_trace.names),
            "stream": self.streams.codes(rank_trace.streams),
            "thread": np.arange(len(rank_trace.threads), dtype=np.int32)
            + len(self.threads),
            "device": np.arange(len(rank_trace.devices), dtype=np.int32)
            + len(self.devices),
        }

        def changed(table: TableT) -> TableT:
            return table.recoded(new_codes).shifted(shift)

        self.operations.append(changed(rank_trace.operations))
        self.calls.append(changed(rank_trace.calls))
        self.ranges.append(changed(rank_trace.ranges))
        self.counters.append(changed(rank_trace.counters))
        self.collectives.append(changed(rank_trace.collectives))
        self.files.append((rank.path.name, rank_trace.meta.distributed))
        self._add_processes(rank_trace, label)

    def _add_processes(self, trace: Trace, label: str) -> None:
        device_processes = {device.process for device in trace.devices}
        for device in trace.devices:
            process_name = label
            if len(device_processes) > 1:
                process_name = f"{label}: {device.process_name}"
            process = device.process + self.processes
            self.devices.append(replace(device, process=process, process_name=process_name))
        for thread in trace.threads:
            process = thread.process + self.processes
            self.threads.append(replace(thread, process=process))
        process_codes = [device.process for device in trace.devices]
        process_codes += [thread.process for thread in trace.threads]
        self.processes += 1 + max(process_codes, default=0)

    def trace(self) -> Trace:
        """Return the Trace of all that was added, without metadata."""
        return Trace(
            operations=Operations.joined(self.operations),
            calls=Calls.joined(self.calls),
            ranges=Ranges.joined(self.ranges),
            counters=Counters.joined(self.counters),
            collectives=Collectives.joined(self.collectives),
            parts=self._parts(),
            names=self.names.values(),
            devices=tuple(self.devices),
            streams=self.streams.values(),
            threads=tuple(self.threads),
        )

    def _parts(self) -> tuple[TracePart, ...]:
        """Return which rows of the tables are of each trace."""
        tables: tuple[Sequence[Table], ...] = (
            self.operations,
            self.calls,
            self.ranges,
            self.counters,
            self.collectives,
        )
        rows = zip(*map(_slices, tables), strict=True)
        return tuple(
            TracePart(*said, *slices) for said, slices in zip(self.files, rows, strict=True)
        )


def _slices(tables: Sequence[Table]) -> list[slice]:
    """Return which rows of the joined table each of some tables is."""
    ends = np.cumsum([len(table) for table in tables]).tolist()
    return [slice(end - len(table), end) for table, end in zip(tables, ends, strict=True)]


def _merged_meta(ranks: Sequence[Rank]) -> Metadata:
    """Return what is true of all ranks: what one of them lost is lost."""
    rank_metas = [rank.trace.meta for rank in ranks]
    lost_records = {
        record_kind: sum(meta.lost.get(record_kind, 0) for meta in rank_metas)
        for record_kind in KINDS
    }
    return Metadata(
        format=", ".join(dict.fromkeys(meta.format for meta in rank_metas)),
        events=sum(meta.events for meta in rank_metas),
        warnings=tuple(
            f"{rank.path.name}: {warning}"
            for rank in ranks
            for warning in rank.trace.meta.warnings
        ),
        lost={
            record_kind: lost_count
            for record_kind, lost_count in lost_records.items()
            if lost_count
        },
        truncated=any(meta.truncated for meta in rank_metas),
        dropped=tuple(message for meta in rank_metas for message in meta.dropped),
        profiler_errors=tuple(
            message for meta in rank_metas for message in meta.profiler_errors
        ),
        of_several_files=True,
        clocks_apart=_shifts(ranks) is None,
    )


def _shifts(ranks: Iterable[Rank]) -> list[int] | None:
    """Return what to add to each rank's times, ns, so that they share the clock of the first.

    None where a trace does not say what its times are relative to.
    """
    epoch_bases: list[int] = []
    for rank in ranks:
        epoch_base = rank.trace.meta.epoch_ns
        if epoch_base is None:
            return None
        epoch_bases.append(epoch_base)
    return [epoch_base - epoch_bases[0] for epoch_base in epoch_bases]


def _label(rank: Rank) -> str:
    """Return what the processes of a trace are called; the only rank of its job is none."""
    said = rank.trace.meta.distributed
    number = said.get("rank")
    is_rank = isinstance(number, int) and world_size(said) != 1
    return f"rank {number}" if is_rank else rank.path.name


def _communicates(trace: Trace) -> bool:
    """Return whether a device of a trace exchanges data with another."""
    used = distinct(trace.operations.name).tolist()
    return any(collective(trace.names[code]) != Collective.NONE for code in used)
