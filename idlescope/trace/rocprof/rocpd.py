"""Read a rocpd database (what rocprofv3 writes unless told otherwise) into a Trace.

`rocpd_kernel_dispatch` and `rocpd_memory_copy` have what ran on GPUs, `rocpd_region` the calls and
markers of the host, `rocpd_event` the category and `stack_id` of each: the internal correlation id,
which an operation shares with the call that launched it. Views of the same names without the UUID
are left alone, as are all views: what a file's views run is up to the file. Times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.errors import TraceError
from idlescope.trace.distinct import combined, rows_of
from idlescope.trace.gathered import Gathered
from idlescope.trace.model import Calls, OperationKind, Operations, RangeKind, Ranges, Trace
from idlescope.trace.names import rocm
from idlescope.trace.rocprof.agents import Machine
from idlescope.trace.rocprof.categories import (
    NO_CALLS,
    RECORD_AGAIN,
    Group,
    group_of,
    range_of,
)
from idlescope.trace.rocprof.database import (
    COPIES,
    KERNELS,
    REGIONS,
    Database,
    suffixes,
)
from idlescope.trace.sqlite.numbers import NULL
from idlescope.trace.sqlite.strings import TextColumn
from idlescope.trace.sqlite.tables import open_sqlite
from idlescope.trace.table import Int32, Int64

UNKNOWN = -1  # of an id that a row does not state


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a rocpd database; nothing is written to it or beside it.

    `progress` is called with the number of rows read so far. Without `frames`, operators and Python
    frames are left out.

    Raises TraceError for a file that is damaged, or holds no records.
    """
    gathered = Gathered(progress)
    with open_sqlite(path, RECORD_AGAIN, gathered.damage) as tables:
        found = suffixes(tables)
        for suffix in found:
            database = Database(tables, suffix, gathered.damage)
            label = f" ({suffix.strip('_')})" if len(found) > 1 else ""
            _Reading(database, Machine(database, gathered, label), gathered).run(frames)
    if not gathered.events:
        raise TraceError(f"{path} holds no kernels, copies or calls: {RECORD_AGAIN}")
    if gathered.count(Operations) and not gathered.count(Calls):
        gathered.notes.append(NO_CALLS)
    return gathered.trace("rocprof", path)


class _Events(NamedTuple):
    """The rows of rocpd_event."""

    event_id: Int64
    stack_id: Int64  # internal correlation id
    category: TextColumn
    message: TextColumn


class _Reading:
    """One pass over the tables of one process."""

    def __init__(self, database: Database, machine: Machine, gathered: Gathered) -> None:
        self._database = database
        self._machine = machine
        self._gathered = gathered
        wanted = {"id": NULL, "stack_id": 0, "category_id": NULL}
        events = database.integers("rocpd_event", wanted)
        categories = database.categories(events["category_id"])
        self._events = _Events(
            events["id"], events["stack_id"], categories, database.messages()
        )

    def run(self, frames: bool) -> None:
        """Add all records."""
        self._add_regions(frames)
        self._add_kernels()
        self._add_copies()

    def _stack_ids(self, event_ids: Int64) -> Int64:
        """Return the correlation id of each event; 0 where there is no such event."""
        return np.append(self._events.stack_id, 0)[
            rows_of(self._events.event_id, event_ids)
        ]

    def _add_regions(self, frames: bool) -> None:
        wanted = {"pid": UNKNOWN, "tid": UNKNOWN, "name_id": NULL, "event_id": NULL}
        rows = self._database.records(REGIONS, wanted)
        event_rows = rows_of(self._events.event_id, rows["event_id"])
        category_texts = [*self._events.category.texts, ""]
        category_of_event = np.append(self._events.category.text_of_row, -1)
        category = category_of_event[event_rows]
        is_call = np.array([group_of(text) is Group.CALL for text in category_texts])
        threads = self._threads(rows)

        calls = np.flatnonzero(is_call[category])
        names = self._database.strings(rows["name_id"])
        call_table = Calls(
            start=rows["start"][calls],
            end=rows["end"][calls],
            thread=threads[calls],
            name=names.codes(self._gathered.names)[calls],
            correlation=self._stack_ids(rows["event_id"])[calls],
        )
        self._gathered.add(call_table, f"{self._database.named(REGIONS)} call")

        others = np.flatnonzero(~is_call[category])
        said = self._ranges_said(names.of_rows()[others], event_rows[others])
        name_codes, kinds = self._named_ranges(
            [category_texts[code] for code in category[others].tolist()], said
        )
        range_table = Ranges(
            start=rows["start"][others],
            end=rows["end"][others],
            thread=threads[others],
            name=name_codes,
            kind=kinds,
            step=np.full(others.size, -1, np.int32),
        )
        if not frames:
            detail = (RangeKind.OPERATOR, RangeKind.FRAME)
            range_table = range_table.take(~np.isin(range_table.kind, detail))
        self._gathered.add(range_table, f"{self._database.named(REGIONS)} range")

    def _ranges_said(
        self, names: NDArray[np.object_], event_rows: Int64
    ) -> NDArray[np.object_]:
        """Return the text of each range: a marker's message, else the name of the region."""
        messages = np.append(self._events.message.of_rows(), "")[event_rows]
        return np.where(messages != "", messages, names)

    def _named_ranges(
        self, categories: list[str], texts: NDArray[np.object_]
    ) -> tuple[Int32, NDArray[np.uint8]]:
        """Return the names and kinds of ranges."""
        pairs = list(zip(categories, texts.tolist(), strict=True))
        meaning = {pair: range_of(*pair) for pair in dict.fromkeys(pairs)}
        name_codes = self._gathered.names.codes(meaning[pair][0] for pair in pairs)
        return name_codes, np.array([meaning[pair][1] for pair in pairs], np.uint8)

    def _threads(self, rows: dict[str, Int64]) -> Int32:
        pairs, index = combined(rows["pid"], rows["tid"])
        threads = [self._machine.thread(*pair) for pair in pairs]
        return self._gathered.threads.codes(threads)[index]

    def _devices(self, process_ids: Int64, agent_ids: Int64) -> Int32:
        pairs, index = combined(process_ids, agent_ids)
        devices = [self._machine.device(*pair) for pair in pairs]
        return self._gathered.devices.codes(devices)[index]

    def _streams(self, rows: dict[str, Int64]) -> Int32:
        pairs, index = combined(rows["stream_id"], rows["queue_id"])
        streams = [self._machine.stream(*pair) for pair in pairs]
        return self._gathered.streams.codes(streams)[index]

    def _add_kernels(self) -> None:
        wanted = {"pid": UNKNOWN, "agent_id": UNKNOWN, "kernel_id": NULL, "event_id": NULL}
        wanted |= {"queue_id": UNKNOWN, "stream_id": UNKNOWN}
        rows = self._database.records(KERNELS, wanted)
        symbols = self._database.texts(
            "rocpd_info_kernel_symbol", rows["kernel_id"], "display_name"
        )
        names = [rocm.kernel_name(text) or "kernel" for text in symbols.texts]
        kinds = np.array([rocm.kernel_kind(name) for name in names], np.uint8)
        count = rows["start"].size
        table = Operations(
            start=rows["start"],
            end=rows["end"],
            kind=kinds[symbols.text_of_row] if count else np.empty(0, np.uint8),
            device=self._devices(rows["pid"], rows["agent_id"]),
            stream=self._streams(rows),
            name=TextColumn(names, symbols.text_of_row).codes(self._gathered.names),
            correlation=self._stack_ids(rows["event_id"]),
            step=np.full(count, -1, np.int32),
            bytes=np.zeros(count, np.int64),
            flops=np.zeros(count),
        )
        self._gathered.add(table, f"{self._database.named(KERNELS)} row")

    def _add_copies(self) -> None:
        wanted = {"pid": UNKNOWN, "dst_agent_id": UNKNOWN, "src_agent_id": UNKNOWN}
        wanted |= {"queue_id": UNKNOWN, "stream_id": UNKNOWN, "size": 0}
        wanted |= {"name_id": NULL, "event_id": NULL}
        rows = self._database.records(COPIES, wanted)
        agents = self._agent_of_copies(rows)
        chosen = np.flatnonzero(agents != NULL)
        said = self._database.strings(rows["name_id"])
        names = [rocm.copy_name(text) for text in said.texts]
        name_codes = TextColumn(names, said.text_of_row).codes(self._gathered.names)
        table = Operations(
            start=rows["start"][chosen],
            end=rows["end"][chosen],
            kind=np.full(chosen.size, OperationKind.MEMCPY, np.uint8),
            device=self._devices(rows["pid"][chosen], agents[chosen]),
            stream=self._streams(rows)[chosen],
            name=name_codes[chosen],
            correlation=self._stack_ids(rows["event_id"])[chosen],
            step=np.full(chosen.size, -1, np.int32),
            bytes=np.maximum(rows["size"][chosen], 0),
            flops=np.zeros(chosen.size),
        )
        self._gathered.add(table, f"{self._database.named(COPIES)} row")

    def _agent_of_copies(self, rows: dict[str, Int64]) -> Int64:
        """Return the GPU that each copy is of: the one it goes to, else the one it comes from.

        NULL of copies within the host.
        """
        pairs, index = combined(rows["dst_agent_id"], rows["src_agent_id"])
        gpu_ids = [self._machine.gpu_of_copy(*pair) for pair in pairs]
        return np.array([NULL if gpu is None else gpu for gpu in gpu_ids], np.int64)[index]
