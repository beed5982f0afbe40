"""The step clock: host phases and device operations of every step of a whole run."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.capture.spilled import VALUES_IN_MEMORY, Spilled, in_file, joined
from idlescope.engine.devices.base import STREAMS, DeviceOperation
from idlescope.engine.requests import Finish, Request
from idlescope.engine.scheduler import Emitted
from idlescope.trace.interner import Interner
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import (
    Calls,
    Counters,
    Device,
    Operations,
    RangeKind,
    Ranges,
    Thread,
    Trace,
)
from idlescope.trace.names.own_engine import (
    AT_LIMIT,
    BY_STOP,
    ENGINE_PHASES,
    FIRST_TOKEN,
    FREE_BLOCKS,
    RUNNING,
    TOKENS,
    WAIT_CALL,
    WAITING,
)
from idlescope.trace.table import Int64, TableT

COUNTERS = (RUNNING, WAITING, FREE_BLOCKS, TOKENS)
OTHER_RANGES = {
    "garbage collection": RangeKind.GARBAGE_COLLECTION,
    "no demand": RangeKind.NO_DEMAND,
    "step clock": RangeKind.OVERHEAD,
}
# Indices into the names of ranges, counted from the end: they come after an engine's own phases.
COLLECTION, NO_DEMAND, OVERHEAD = range(-len(OTHER_RANGES), 0)

# What a row of each flat array holds; names are indices into the interned names, times in ns.
RANGE_FIELDS = ("name", "step", "start", "end")
WAIT_FIELDS = ("start", "end")
OPERATION_FIELDS = (
    "step",
    "stream",
    "kind",
    "name",
    "call",
    "call_start",
    "call_end",
    "start",
    "end",
    "bytes",
)
COUNTER_FIELDS = ("time", *COUNTERS)
REQUEST_FIELDS = ("time", "event", "request")

# what is taken down: what a row holds, and the type of its values (integers, floats)
TABLES = {
    "ranges": (RANGE_FIELDS, "q"),
    "waits": (WAIT_FIELDS, "q"),
    "operations": (OPERATION_FIELDS, "q"),
    "flops": (("flops",), "d"),
    "counters": (COUNTER_FIELDS, "q"),
    "requests": (REQUEST_FIELDS, "q"),
}

# makes a column: a table has many, of which one is in memory at a time
Part = Callable[[], NDArray[Any]]


class StepClock:
    """Implements the engine's `Recorder`; `trace` turns what was taken down into a Trace.

    Rows are kept in flat arrays of machine integers, not as objects, and older ones in files:
    nothing here makes the garbage collector slower, or memory fuller, as a run grows longer. The
    files lie in `folder`, that of temporary files unless given.
    `phases` are the names of the phases, whose index `phase` is told. Times are integer
    nanoseconds, as `now` returns them.
    """

    def __init__(
        self,
        now: Callable[[], int],
        phases: Sequence[str] = ENGINE_PHASES,
        folder: Path | None = None,
    ) -> None:
        self._now = now
        self._folder = folder
        self._range_names = (*phases, *OTHER_RANGES)
        phase_kinds = (RangeKind.ANNOTATION,) * len(phases)
        self._range_kinds = (*phase_kinds, *OTHER_RANGES.values())
        self._rows = {
            name: Spilled(type_code, len(fields), folder)
            for name, (fields, type_code) in TABLES.items()
        }
        self._ranges = self._rows["ranges"].recent
        self._waits = self._rows["waits"].recent
        self._operations = self._rows["operations"].recent
        self._flops = self._rows["flops"].recent
        self._counters = self._rows["counters"].recent
        self._requests = self._rows["requests"].recent
        self._names: Interner[str] = Interner()
        self._collection_start = 0

    def begin(self, phase: int, step: int) -> None:
        """Do nothing: a phase is recorded when it has ended."""

    def arrived(self, request: Request) -> None:
        """Do nothing: requests keep their own times."""

    def emitted(self, emitted: Emitted) -> None:
        """Do nothing: requests keep their own times."""

    def abandon(self) -> None:
        """Do nothing: a phase that has not ended is not recorded."""

    def phase(self, phase: int, step: int, start: int, end: int) -> None:
        """Record host work on a step; -1: a schedule that found nothing to run."""
        self._ranges.extend((phase, step, start, end))

    def wait(self, step: int, start: int, end: int) -> None:
        """Record that the host was blocked until a step's tokens were there."""
        self._waits.extend((start, end))

    def no_demand(self, start: int, end: int) -> None:
        """Record that there was no request to work on."""
        self._ranges.extend((NO_DEMAND, -1, start, end))

    def operations(self, step: int, operations: Iterable[DeviceOperation]) -> None:
        """Record what a retired step ran on the device."""
        name_code = self._names.code
        for operation in operations:
            operation_row = (  # in the order of OPERATION_FIELDS
                step,
                operation.stream,
                operation.kind,
                name_code(operation.name),
                name_code(operation.call),
                operation.call_start,
                operation.call_end,
                operation.start,
                operation.end,
                operation.bytes,
            )
            self._flops.append(operation.flops)  # first: Ctrl-C may come in between
            self._operations.extend(operation_row)

    def overhead(self, start: int, end: int) -> None:
        """Record the time that recording itself took."""
        if end > start:
            self._ranges.extend((OVERHEAD, -1, start, end))

    def counters(
        self, time: int, running: int, waiting: int, free_blocks: int, tokens: int
    ) -> None:
        """Record the state of the scheduler after a step."""
        self._counters.extend((time, running, waiting, free_blocks, tokens))
        if len(self._operations) >= VALUES_IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        """Keep memory flat: what was taken down long ago goes to files."""
        for rows in self._rows.values():
            rows.spill()

    def requests(self, finished: Iterable[Request]) -> None:
        """Record when requests that ended had their first token and their last."""
        for request in finished:
            first_token_ns, finished_ns = request.first_token_ns, request.finished_ns
            if request.finish is Finish.CANCELLED:
                continue
            if first_token_ns is None or finished_ns is None:
                continue
            finish = AT_LIMIT if request.finish is Finish.LENGTH else BY_STOP
            for event_ns, event_name in (
                (first_token_ns, FIRST_TOKEN),
                (finished_ns, finish),
            ):
                self._requests.extend((event_ns, self._names.code(event_name), request.id))

    @contextmanager
    def watching_collector(self) -> Iterator[None]:
        """Record the garbage collector's runs meanwhile."""
        gc.callbacks.append(self._on_collection)
        try:
            yield
        finally:
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, moment: str, info: dict[str, int]) -> None:
        if moment == "start":
            self._collection_start = self._now()
        elif (collection_end := self._now()) > self._collection_start:
            self._ranges.extend((COLLECTION, -1, self._collection_start, collection_end))

    def trace(self, device_name: str, meta: Metadata) -> Trace:
        """Return everything recorded so far: one device, one thread.

        Columns of a long run are mapped from files: one or two are in memory at a time.
        """
        counters = self._counter_table()
        return Trace(
            operations=self._operation_table(),
            calls=self._call_table(),
            ranges=self._range_table(),
            counters=counters,
            names=self._names.values(),
            devices=(Device(0, 0, device_name, "engine"),),
            streams=STREAMS,
            threads=(Thread(0, "host"),),
            meta=meta,
        )

    def _operation_table(self) -> Operations:
        """Return what ran on the device, in the order in which it was taken down."""
        fields = {name: [self._part("operations", name)] for name in OPERATION_FIELDS}
        rest: dict[str, Sequence[Part]] = {
            "device": [self._same(0, "operations")],
            "correlation": [self._correlation],
            "flops": [self._operations_flops],
        }
        return self._table(Operations, {**fields, **rest})

    def _operations_flops(self) -> NDArray[Any]:
        """Return the column of the operations that were taken down: the last may be missing."""
        return self._part("flops", "flops")()[: len(self._rows["operations"])]

    def _correlation(self) -> Int64:
        """Return what a launch call and its operation share, counted from 1; 0 is none."""
        return np.arange(1, len(self._rows["operations"]) + 1)

    def _call_table(self) -> Calls:
        """Return the launch calls of operations and the waits, by their starts."""
        wait_name = self._names.code(WAIT_CALL)
        return self._table(
            Calls,
            {
                "start": [
                    self._part("operations", "call_start"),
                    self._part("waits", "start"),
                ],
                "end": [self._part("operations", "call_end"), self._part("waits", "end")],
                "thread": [self._same(0, "operations"), self._same(0, "waits")],
                "name": [self._part("operations", "call"), self._same(wait_name, "waits")],
                "correlation": [self._correlation, self._same(0, "waits")],
            },
            sorted_by="start",
        )

    def _range_table(self) -> Ranges:
        """Return phases and what else the host's time was spent on, by their starts."""
        names = self._names.codes(self._range_names)
        kinds = np.array(self._range_kinds, np.uint8)
        coded = self._part("ranges", "name")
        return self._table(
            Ranges,
            {
                "start": [self._part("ranges", "start")],
                "end": [self._part("ranges", "end")],
                "thread": [self._same(0, "ranges")],
                "name": [lambda: names[coded()]],
                "kind": [lambda: kinds[coded()]],
                "step": [self._part("ranges", "step")],
            },
            sorted_by="start",
        )

    def _counter_table(self) -> Counters:
        """Return the scheduler's state after each step and the requests' events, by their times."""
        # A row per state and counter: state by state, and in each the counters in their order.
        counter_names = self._names.codes(COUNTERS)
        state_time = self._part("counters", "time")
        return self._table(
            Counters,
            {
                "time": [
                    lambda: np.repeat(state_time(), len(COUNTERS)),
                    self._part("requests", "time"),
                ],
                "name": [
                    lambda: np.tile(counter_names, len(self._rows["counters"])),
                    self._part("requests", "event"),
                ],
                "value": [self._state_values, self._part("requests", "request")],
            },
            sorted_by="time",
        )

    def _state_values(self) -> Int64:
        """Return the scheduler's states, each counter after the other."""
        rows = self._rows["counters"]
        values = np.empty((len(rows), len(COUNTERS)), np.int64)
        for index, counter_name in enumerate(COUNTERS):
            values[:, index] = self._part("counters", counter_name)()
        return values.ravel()

    def _table(
        self,
        kind: type[TableT],
        parts: Mapping[str, Sequence[Part]],
        sorted_by: str | None = None,
    ) -> TableT:
        """Return a table whose columns are made of parts, one behind the other."""
        order = None
        if sorted_by is not None:
            keys = joined([part() for part in parts[sorted_by]], kind.DTYPES[sorted_by])
            order = np.argsort(keys, kind="stable")
            del keys
        columns = {}
        for name, dtype in kind.DTYPES.items():
            column = joined([part() for part in parts[name]], dtype)
            if order is not None:
                column = column[order]
            columns[name] = in_file(column, self._folder)
            del column
        return kind(**columns)

    def _part(self, table: str, field: str) -> Part:
        """Return what makes a column of what was taken down."""
        fields, _ = TABLES[table]
        return partial(self._rows[table].column, fields.index(field))

    def _same(self, value: int, table: str) -> Part:
        """Return what makes a column of one value for all rows; it takes no memory."""
        return partial(np.broadcast_to, np.int64(value), len(self._rows[table]))
