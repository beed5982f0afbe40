"""The step clock: host phases and device operations of every step of a whole run."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from idlescope.capture.spilled import VALUES_IN_MEMORY, Spilled
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
from idlescope.trace.table import Int64

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

# what is taken down, by the type of its values: integers, floats
TABLES = {
    "ranges": "q",
    "waits": "q",
    "operations": "q",
    "flops": "d",
    "counters": "q",
    "requests": "q",
}

Columns = dict[str, Int64]


class StepClock:
    """Implements the engine's `Recorder`; `trace` turns what was taken down into a Trace.

    Rows are kept in flat arrays of machine integers, not as objects, and older ones in files:
    nothing here makes the garbage collector slower, or memory fuller, as a run grows longer.
    `phases` are the names of the phases, whose index `phase` is told. Times are integer
    nanoseconds, as `now` returns them.
    """

    def __init__(
        self, now: Callable[[], int], phases: Sequence[str] = ENGINE_PHASES
    ) -> None:
        self._now = now
        self._range_names = (*phases, *OTHER_RANGES)
        phase_kinds = (RangeKind.ANNOTATION,) * len(phases)
        self._range_kinds = (*phase_kinds, *OTHER_RANGES.values())
        self._rows = {name: Spilled(type_code) for name, type_code in TABLES.items()}
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
            self._operations.extend(operation_row)
            self._flops.append(operation.flops)

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
        """Return everything recorded so far: one device, one thread."""
        operations = self._columns("operations", OPERATION_FIELDS)
        # A launch call and its operation have the same correlation id, counted from 1; 0 is none.
        correlation = np.arange(1, operations["start"].size + 1)
        counters = self._counter_table()
        call_table = self._call_table(operations, correlation)
        ranges = self._range_table()
        return Trace(
            operations=Operations.of(
                start=operations["start"],
                end=operations["end"],
                kind=operations["kind"],
                device=np.zeros(correlation.size),
                stream=operations["stream"],
                name=operations["name"],
                correlation=correlation,
                step=operations["step"],
                bytes=operations["bytes"],
                flops=self._rows["flops"].values(),
            ),
            calls=call_table.take(np.argsort(call_table.start, kind="stable")),
            ranges=ranges.take(np.argsort(ranges.start, kind="stable")),
            counters=counters.take(np.argsort(counters.time, kind="stable")),
            names=self._names.values(),
            devices=(Device(0, 0, device_name, "engine"),),
            streams=STREAMS,
            threads=(Thread(0, "host"),),
            meta=meta,
        )

    def _call_table(self, operations: Columns, correlation: Int64) -> Calls:
        """Return the launch calls of operations, and the waits behind them."""
        wait_columns = self._columns("waits", WAIT_FIELDS)
        wait_count = wait_columns["start"].size
        wait_name = np.full(wait_count, self._names.code(WAIT_CALL))
        no_correlation = np.zeros(wait_count)
        return Calls.of(
            start=np.concatenate((operations["call_start"], wait_columns["start"])),
            end=np.concatenate((operations["call_end"], wait_columns["end"])),
            thread=np.zeros(correlation.size + wait_count),
            name=np.concatenate((operations["call"], wait_name)),
            correlation=np.concatenate((correlation, no_correlation)),
        )

    def _range_table(self) -> Ranges:
        """Return phases and what else the host's time was spent on."""
        ranges = self._columns("ranges", RANGE_FIELDS)
        return Ranges.of(
            start=ranges["start"],
            end=ranges["end"],
            thread=np.zeros(ranges["start"].size),
            name=self._names.codes(self._range_names)[ranges["name"]],
            kind=np.array(self._range_kinds)[ranges["name"]],
            step=ranges["step"],
        )

    def _counter_table(self) -> Counters:
        """Return the scheduler's state after each step, and the requests' events behind it."""
        states = self._columns("counters", COUNTER_FIELDS)
        requests = self._columns("requests", REQUEST_FIELDS)
        # A row per state and counter: state by state, and in each the counters in their order.
        counter_names = self._names.codes(COUNTERS)
        state_time = np.repeat(states["time"], len(COUNTERS))
        state_name = np.tile(counter_names, states["time"].size)
        values = [states[counter_name] for counter_name in COUNTERS]
        state_value = np.column_stack(values).ravel()
        return Counters.of(
            time=np.concatenate((state_time, requests["time"])),
            name=np.concatenate((state_name, requests["event"])),
            value=np.concatenate((state_value, requests["request"])),
        )

    def _columns(self, table: str, fields: Sequence[str]) -> Columns:
        """Return the columns of a table whose rows hold these fields, one behind the other."""
        columns = self._rows[table].values().reshape(-1, len(fields)).T
        return dict(zip(fields, columns, strict=True))
