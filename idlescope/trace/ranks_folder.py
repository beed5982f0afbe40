"""A folder of traces is a set of ranks: one Trace of all their devices, each of its own process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from idlescope.errors import TraceError
from idlescope.trace import formats, unprofiled
from idlescope.trace.damage import KINDS
from idlescope.trace.interner import Interner
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Calls, Counters, Device, Operations, Ranges, Thread, Trace
from idlescope.trace.table import Table

TableT = TypeVar("TableT", bound=Table)


class Rank(NamedTuple):
    """One trace of a folder."""

    path: Path
    trace: Trace


def files(folder: Path) -> list[Path]:
    """Return the traces in a folder, by name. Raises TraceError where there are none.

    Exports beside their report, or beside each other, are the same trace again: one is taken.
    """
    found = [(path, form) for path in sorted(folder.iterdir()) if (form := _form(path)) is not None]
    best: dict[tuple[str, str], int] = {}
    for path, form in found:
        trace = formats.FORMATS[form].name, _stem(path)
        best[trace] = min(best.get(trace, form), form)
    if not found:
        suffixes = [suffix for known in formats.FORMATS for suffix in known.suffixes]
        raise TraceError(
            f"{folder} holds no traces: give a recording (a folder with meta.json), an Nsight "
            f"Systems Parquet export, or a folder of files that end in {', '.join(suffixes)}"
        )
    return [path for path, form in found if form == best[formats.FORMATS[form].name, _stem(path)]]


def _form(path: Path) -> int | None:
    """Return which of FORMATS a path has, from the name of a file and the content of a folder."""
    if path.name == unprofiled.FILE:
        return None
    for form, known in enumerate(formats.FORMATS):
        if path.is_dir() and not known.suffixes and known.recognises(path, b""):
            return form
        if path.is_file() and path.name.endswith(known.suffixes):
            return form
    return None


def _stem(path: Path) -> str:
    if path.is_dir():  # nsys calls a folder of Parquet files NAME_pqtdir
        return path.name.removesuffix("_pqtdir").removesuffix(".parquet")
    return path.stem


def merge(folder: Path, ranks: Sequence[Rank], left_out: Sequence[str] = ()) -> Trace:
    """Return one Trace of several ranks'.

    `left_out` says, a sentence each, which files of the folder are not in it. Processes are called
    by the rank where the trace states it, else by the file. Times are brought onto one clock where
    every trace states its base in epoch time; else each keeps its own, and `meta.clocks_apart` is
    true.
    """
    if len(ranks) == 1:
        trace = ranks[0].trace
        warnings = (*left_out, *trace.meta.warnings)
        return replace(trace, meta=trace.meta.replace(path=str(folder), warnings=warnings))
    shifts = _shifts([rank.trace for rank in ranks])
    merged = _MergedTables()
    for rank, shift in zip(ranks, shifts or [0] * len(ranks), strict=True):
        merged.add(rank, shift)
    meta = _merged_meta(ranks).replace(path=str(folder), clocks_apart=shifts is None)
    return merged.trace(meta.replace(warnings=(*left_out, *meta.warnings)))


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

    def add(self, rank: Rank, shift: int) -> None:
        """Add one rank's trace, its times `shift` ns later."""
        trace = rank.trace
        new_codes = {
            "name": self.names.codes(trace.names),
            "stream": self.streams.codes(trace.streams),
            "thread": np.arange(len(trace.threads), dtype=np.int32) + len(self.threads),
            "device": np.arange(len(trace.devices), dtype=np.int32) + len(self.devices),
        }

        def changed(table: TableT) -> TableT:
            return table.recoded(new_codes).shifted(shift)

        self.operations.append(changed(trace.operations))
        self.calls.append(changed(trace.calls))
        self.ranges.append(changed(trace.ranges))
        self.counters.append(changed(trace.counters))
        self._add_processes(trace, _label(rank))

    def _add_processes(self, trace: Trace, label: str) -> None:
        several = len({device.process for device in trace.devices}) > 1
        for device in trace.devices:
            name = f"{label}: {device.process_name}" if several else label
            process = device.process + self.processes
            self.devices.append(replace(device, process=process, process_name=name))
        for thread in trace.threads:
            self.threads.append(replace(thread, process=thread.process + self.processes))
        codes = [device.process for device in trace.devices]
        codes += [thread.process for thread in trace.threads]
        self.processes += 1 + max(codes, default=0)

    def trace(self, meta: Metadata) -> Trace:
        """Return the Trace of all that was added."""
        return Trace(
            operations=Operations.joined(self.operations),
            calls=Calls.joined(self.calls),
            ranges=Ranges.joined(self.ranges),
            counters=Counters.joined(self.counters),
            names=self.names.values(),
            devices=tuple(self.devices),
            streams=self.streams.values(),
            threads=tuple(self.threads),
            meta=meta,
        )


def _merged_meta(ranks: Sequence[Rank]) -> Metadata:
    """Return what is true of all ranks: what one of them lost is lost."""
    metas = [rank.trace.meta for rank in ranks]
    lost = {kind: sum(meta.lost.get(kind, 0) for meta in metas) for kind in KINDS}
    return Metadata(
        format=", ".join(dict.fromkeys(meta.format for meta in metas)),
        events=sum(meta.events for meta in metas),
        warnings=tuple(
            f"{rank.path.name}: {warning}" for rank in ranks for warning in rank.trace.meta.warnings
        ),
        lost={kind: count for kind, count in lost.items() if count},
        truncated=any(meta.truncated for meta in metas),
        dropped=tuple(message for meta in metas for message in meta.dropped),
    )


def _shifts(traces: Iterable[Trace]) -> list[int] | None:
    """Return what to add to each trace's times, ns, so that they share the clock of the first.

    None where a trace does not say what its times are relative to.
    """
    bases: list[int] = []
    for trace in traces:
        if trace.meta.epoch_ns is None:
            return None
        bases.append(trace.meta.epoch_ns)
    return [base - bases[0] for base in bases]


def _label(rank: Rank) -> str:
    number = rank.trace.meta.distributed.get("rank")
    return f"rank {number}" if isinstance(number, int) else rank.path.name
