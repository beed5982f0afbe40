"""What a reader gathers of one file, with codes for its names, and the Trace that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from idlescope.trace.damage import Damage
from idlescope.trace.interner import Interner
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import Calls, Counters, Device, Operations, Ranges, Thread, Trace
from idlescope.trace.plausible_times import Spans, doubts
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.table import Int64, Table

SpansT = TypeVar("SpansT", Operations, Calls, Ranges)

# Beyond, differences and sums of times could leave int64: 73 years either way.
LATEST_NS = 2**61
KINDS: dict[type[Table], str] = {
    Operations: "operations",
    Calls: "calls",
    Ranges: "ranges",
}


class Gpu(NamedTuple):
    """What a file says of a device."""

    name: str = ""
    identity: str = ""  # UUID or PCI id


class _Rows(NamedTuple):
    """Rows of one table as they stand in a file."""

    table: Any  # Operations, Calls or Ranges
    place: str  # what warnings call the place of a row, before its number


@dataclass
class Gathered:
    """The tables of one file, whose codes are indices of what stands beside them.

    A time that is missing is NULL; records whose times cannot be true are left out of the Trace,
    and counted in `damage`. `notes` are sentences on what the file cannot tell.
    """

    progress: Callable[[int], None] | None = None
    damage: Damage = field(default_factory=Damage)
    notes: list[str] = field(default_factory=list)
    events: int = 0
    names: Interner[str] = field(default_factory=Interner)
    streams: Interner[str] = field(default_factory=Interner)
    # process and thread, as people call them
    threads: Interner[tuple[str, str]] = field(default_factory=Interner)
    # process as people call it, and number of the device
    devices: Interner[tuple[str, int]] = field(default_factory=Interner)
    gpus: dict[tuple[str, int], Gpu] = field(default_factory=dict)
    counters: list[Counters] = field(default_factory=list)
    _rows: list[_Rows] = field(default_factory=list)

    def add(self, table: Operations | Calls | Ranges, place: str) -> None:
        """Add rows of a table; `place` is what warnings call their place in the file."""
        self._rows.append(_Rows(table, place))
        self.events += len(table)
        if self.progress is not None:
            self.progress(self.events)

    def count(self, kind: type[Table]) -> int:
        """Return how many rows of a table were added, sound or not."""
        return sum(len(rows.table) for rows in self._rows if isinstance(rows.table, kind))

    def trace(self, format_name: str, path: Path, **said: Any) -> Trace:
        """Return the Trace of all that was added; `said` are more fields of its Metadata."""
        typical = self._typical_ns()
        operations = self._joined(Operations, typical)
        calls = self._joined(Calls, typical)
        ranges = self._joined(Ranges, typical)
        processes: Interner[str] = Interner()
        devices = tuple(self._device(key, processes) for key in self.devices.values())
        threads = tuple(
            Thread(processes.code(process), label)
            for process, label in self.threads.values()
        )
        loss = self.damage.to_meta()
        loss["warnings"] = (*self.notes, *loss.get("warnings", ()))
        meta = Metadata(
            format=format_name, path=str(path), events=self.events, **loss, **said
        )
        return Trace(
            operations=operations,
            calls=calls,
            ranges=ranges,
            counters=Counters.joined(self.counters),
            names=self.names.values(),
            devices=devices,
            streams=self.streams.values(),
            threads=threads,
            meta=meta,
        )

    def _joined(self, kind: type[SpansT], typical: int) -> SpansT:
        sound_parts = [
            self._sound(rows, typical)
            for rows in self._rows
            if isinstance(rows.table, kind)
        ]
        return kind.joined(sound_parts)

    def _device(self, key: tuple[str, int], processes: Interner[str]) -> Device:
        process, index = key
        gpu = self.gpus.get(key, Gpu())
        return Device(processes.code(process), index, gpu.name, process, gpu.identity)

    def _typical_ns(self) -> int:
        """Return the time about which most records lie."""
        starts = [rows.table.start for rows in self._rows]
        all_starts = np.concatenate([np.empty(0, np.int64), *starts])
        known_starts = all_starts[np.abs(all_starts.astype(np.float64)) < LATEST_NS]
        return int(np.median(known_starts)) if known_starts.size else 0

    def _sound(self, rows: _Rows, typical: int) -> Any:
        """Return the rows whose times can be true; count the others."""
        start, end = rows.table.start, rows.table.end
        if not start.size:
            return rows.table
        kind = KINDS[type(rows.table)]
        readable = _within(start) & _within(end)
        known_start = np.where(readable, start, typical)
        length = np.where(readable, end, typical) - known_start
        unsound = np.zeros(start.size, np.bool_)
        for doubt in doubts(Spans(kind, known_start, length, readable), typical):
            unsound[doubt.rows] = True
            first_place = f"{rows.place} {int(doubt.rows[0]) + 1:,}"
            self.damage.dropped(
                f"{kind} {doubt.what} were left out", first_place, kind, doubt.rows.size
            )
        return rows.table.take(~unsound) if unsound.any() else rows.table


def _within(times: Int64) -> Any:
    return (times > -LATEST_NS) & (times < LATEST_NS) & (times != NULL)
