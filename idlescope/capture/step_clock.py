"""The step clock: host phases and device operations of every step of a whole run, kept in a few lists."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from idlescope.engine.devices.base import STREAMS, DeviceOperation
from idlescope.engine.requests import Finish, Request
from idlescope.engine.scheduler import Emitted
from idlescope.trace.interner import Interner
from idlescope.trace.model import (
    Calls,
    Device,
    Operations,
    RangeKind,
    Ranges,
    Samples,
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
    WAITING,
)
from idlescope.trace.table import Int64

WAIT_CALL = "event.synchronize"
COUNTERS = (RUNNING, WAITING, FREE_BLOCKS, TOKENS)
OTHER_RANGES = {
    "garbage collection": RangeKind.GARBAGE_COLLECTION, "no demand": RangeKind.NO_DEMAND,
    "step clock": RangeKind.OVERHEAD,
}  # fmt: skip
COLLECTION, NO_DEMAND, OVERHEAD = range(-len(OTHER_RANGES), 0)  # they come after an engine's own


class StepClock:
    """Implements the engine's `Recorder`; `trace` turns what was taken down into a Trace.

    Rows are kept in flat arrays of machine integers, not as objects: nothing here makes the garbage collector slower
    as a run grows longer. `phases` names those that `phase` is told the index of.
    """

    def __init__(self, now: Callable[[], int], phases: Sequence[str] = ENGINE_PHASES) -> None:
        self._now = now
        self._range_names = (*phases, *OTHER_RANGES)
        self._range_kinds = (RangeKind.ANNOTATION,) * len(phases) + tuple(OTHER_RANGES.values())
        self._ranges = array("q")  # index into the names of ranges, step, start, end
        self._waits = array("q")  # start, end
        self._operations = array("q")  # in the order of `operations` below
        self._flops = array("d")
        self._counters = array("q")  # time, then COUNTERS
        self._requests = array("q")  # time, index into `names` of what happened, request id
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
        code = self._names.code
        for o in operations:
            self._operations.extend(
                (
                    step,
                    o.stream,
                    o.kind,
                    code(o.name),
                    code(o.call),
                    o.call_start,
                    o.call_end,
                    o.start,
                    o.end,
                    o.bytes,
                )
            )
            self._flops.append(o.flops)

    def overhead(self, start: int, end: int) -> None:
        """Record the time that recording itself took."""
        if end > start:
            self._ranges.extend((OVERHEAD, -1, start, end))

    def counters(
        self, time: int, running: int, waiting: int, free_blocks: int, tokens: int
    ) -> None:
        """Record the state of the scheduler after a step."""
        self._counters.extend((time, running, waiting, free_blocks, tokens))

    def requests(self, finished: Iterable[Request]) -> None:
        """Record when requests that ended had their first token and their last."""
        for r in finished:
            if (
                r.finish is not Finish.CANCELLED
                and r.first_token_ns is not None
                and r.finished_ns is not None
            ):
                how = AT_LIMIT if r.finish is Finish.LENGTH else BY_STOP
                for time, what in ((r.first_token_ns, FIRST_TOKEN), (r.finished_ns, how)):
                    self._requests.extend((time, self._names.code(what), r.id))

    @contextmanager
    def watching_collector(self) -> Iterator[None]:
        """Record the garbage collector's runs meanwhile."""
        gc.callbacks.append(self._collector)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collector)

    def _collector(self, when: str, info: dict[str, int]) -> None:
        if when == "start":
            self._collection_start = self._now()
        elif (end := self._now()) > self._collection_start:
            self._ranges.extend((COLLECTION, -1, self._collection_start, end))

    def trace(self, device_name: str, meta: dict[str, Any]) -> Trace:
        """Return everything recorded so far."""
        names = self._names
        step, stream, kind, name, call, call_start, call_end, start, end, moved = _columns(
            self._operations, 10
        )
        phase, range_step, range_start, range_end = _columns(self._ranges, 4)
        wait_start, wait_end = _columns(self._waits, 2)
        time, *values = _columns(self._counters, 1 + len(COUNTERS))
        request_time, request_event, request_id = _columns(self._requests, 3)
        samples = Samples.of(
            time=np.concatenate((np.repeat(time, len(COUNTERS)), request_time)),
            name=np.concatenate((np.tile(names.codes(COUNTERS), time.size), request_event)),
            value=np.concatenate((np.column_stack(values).ravel(), request_id)),
        )
        n, waits = start.size, wait_start.size
        correlation = np.arange(1, n + 1)
        calls = Calls.of(
            start=np.concatenate((call_start, wait_start)),
            end=np.concatenate((call_end, wait_end)),
            thread=np.zeros(n + waits),
            name=np.concatenate((call, np.full(waits, names.code(WAIT_CALL)))),
            correlation=np.concatenate((correlation, np.zeros(waits))),
        )
        ranges = Ranges.of(
            start=range_start,
            end=range_end,
            thread=np.zeros(phase.size),
            name=names.codes(self._range_names)[phase],
            kind=np.array(self._range_kinds)[phase],
            step=range_step,
        )
        return Trace(
            operations=Operations.of(
                start=start, end=end, kind=kind, device=np.zeros(n), stream=stream, name=name,
                correlation=correlation, step=step, bytes=moved, flops=np.array(self._flops),
            ),
            calls=calls.take(np.argsort(calls.start, kind="stable")),
            ranges=ranges.take(np.argsort(ranges.start, kind="stable")),
            samples=samples.take(np.argsort(samples.time, kind="stable")),
            names=names.values(),
            devices=(Device(0, 0, device_name, "engine"),),
            streams=STREAMS,
            threads=(Thread(0, "host"),),
            meta=meta,
        )  # fmt: skip


def _columns(rows: array[int], width: int) -> list[Int64]:
    return list(np.array(rows, np.int64).reshape(-1, width).T)
