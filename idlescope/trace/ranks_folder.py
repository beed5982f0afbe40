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
    found: list[Path] = []
    forms_of: dict[tuple[str, str], list[int]] = {}
    for path in sorted(folder.iterdir()):
        form = _form(path)
        if form is not None:
            found.append(path)
            forms_of.setdefault(_trace(path, form), []).append(form)
    if not found:
        suffixes = [suffix for known in formats.FORMATS for suffix in known.suffixes]
        raise TraceError(
            f"{folder} holds no traces: give a recording (a folder with meta.json), an Nsight "
            f"Systems Parquet export, or a folder of files that end in {', '.join(suffixes)}"
        )
    return [path for path in found if _is_best_form(path, forms_of)]


def _is_best_form(path: Path, forms_of: dict[tuple[str, str], list[int]]) -> bool:
    form = _form(path)
    return form is not None and form == min(forms_of[_trace(path, form)])


def _trace(path: Path, form: int) -> tuple[str, str]:
    """Return what forms of one trace have in common: the name of the format, and their own."""
    return formats.FORMATS[form].name, _stem(path)


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
        meta = trace.meta
    else:
        trace, meta = _merge_tables(ranks), _merged_meta(ranks)
    warnings = (*left_out, *meta.warnings)
    return replace(trace, meta=meta.replace(path=str(folder), warnings=warnings))


def _merge_tables(ranks: Sequence[Rank]) -> Trace:
    merged = _MergedTables()
    shifts = _shifts(ranks) or [0] * len(ranks)
    for rank, shift in zip(ranks, shifts, strict=True):
        merged.add(rank, shift)
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
        device_processes = {device.process for device in trace.devices}
        for device in trace.devices:
            name = label
            if len(device_processes) > 1:
                name = f"{label}: {device.process_name}"
            process = device.process + self.processes
            self.devices.append(replace(device, process=process, process_name=name))
        for thread in trace.threads:
            process = thread.process + self.processes
            self.threads.append(replace(thread, process=process))
        codes = [device.process for device in trace.devices]
        codes += [thread.process for thread in trace.threads]
        self.processes += 1 + max(codes, default=0)

    def trace(self) -> Trace:
        """Return the Trace of all that was added, without metadata."""
        return Trace(
            operations=Operations.joined(self.operations),
            calls=Calls.joined(self.calls),
            ranges=Ranges.joined(self.ranges),
            counters=Counters.joined(self.counters),
            names=self.names.values(),
            devices=tuple(self.devices),
            streams=self.streams.values(),
            threads=tuple(self.threads),
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
        profiler_errors=tuple(message for meta in metas for message in meta.profiler_errors),
        clocks_apart=_shifts(ranks) is None,
    )


def _shifts(ranks: Iterable[Rank]) -> list[int] | None:
    """Return what to add to each rank's times, ns, so that they share the clock of the first.

    None where a trace does not say what its times are relative to.
    """
    bases: list[int] = []
    for rank in ranks:
        base = rank.trace.meta.epoch_ns
        if base is None:
            return None
        bases.append(base)
    return [base - bases[0] for base in bases]


def _label(rank: Rank) -> str:
    number = rank.trace.meta.distributed.get("rank")
    return f"rank {number}" if isinstance(number, int) else rank.path.name
