"""The step clock: host phases and device operations of every step of a whole run, kept in a few lists."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from idlescope.engine.devices.base import STREAMS, DeviceOperation
from idlescope.trace.model import Calls, Device, Operations, RangeKind, Ranges, Samples, Thread, Trace
from idlescope.trace.phases import ENGINE_PHASES
from idlescope.trace.strings import Interner

WAIT_CALL = "event.synchronize"
COUNTERS = ("requests running", "requests waiting", "free KV blocks", "tokens")
COLLECTION, NO_DEMAND = len(ENGINE_PHASES), len(ENGINE_PHASES) + 1  # pseudo-phases, after the engine's own
RANGE_NAMES = (*ENGINE_PHASES, "garbage collection", "no demand")
RANGE_KINDS = (RangeKind.ANNOTATION,) * len(ENGINE_PHASES) + (RangeKind.GARBAGE_COLLECTION, RangeKind.NO_DEMAND)


class StepClock:
    """Implements the engine's `Recorder`; `trace` turns what was taken down into a Trace."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._ranges: list[tuple[int, int, int, int]] = []  # index into RANGE_NAMES, step, start, end
        self._waits: list[tuple[int, int]] = []
        self._operations: list[tuple[int, DeviceOperation]] = []
        self._counters: list[tuple[int, int, int, int, int]] = []
        self._collection_start = 0

    def phase(self, phase: int, step: int, start: int, end: int) -> None:
        """Record host work on a step."""
        self._ranges.append((phase, step, start, end))

    def wait(self, step: int, start: int, end: int) -> None:
        """Record that the host was blocked until a step's tokens were there."""
        self._waits.append((start, end))

    def no_demand(self, start: int, end: int) -> None:
        """Record that there was no request to work on."""
        self._ranges.append((NO_DEMAND, -1, start, end))

    def operations(self, step: int, operations: Iterable[DeviceOperation]) -> None:
        """Record what a retired step ran on the device."""
        self._operations.extend((step, operation) for operation in operations)

    def counters(self, time: int, running: int, waiting: int, free_blocks: int, tokens: int) -> None:
        """Record the state of the scheduler after a step."""
        self._counters.append((time, running, waiting, free_blocks, tokens))

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
            self._ranges.append((COLLECTION, -1, self._collection_start, end))

    def trace(self, device_name: str, meta: dict[str, Any]) -> Trace:
        """Return everything recorded so far."""
        names: Interner[str] = Interner()
        steps = [step for step, _ in self._operations]
        operations = [operation for _, operation in self._operations]
        correlation = np.arange(1, len(operations) + 1)
        ranges = np.array(self._ranges, np.int64).reshape(-1, 4).T
        waits = np.array(self._waits, np.int64).reshape(-1, 2).T
        counters = np.array(self._counters, np.int64).reshape(-1, 1 + len(COUNTERS))
        order = np.argsort(ranges[2], kind="stable")
        range_names = names.codes(RANGE_NAMES)
        thread = np.zeros
        calls = Calls(
            start=np.concatenate(([o.call_start for o in operations], waits[0])),
            end=np.concatenate(([o.call_end for o in operations], waits[1])),
            thread=thread(len(operations) + waits.shape[1]),
            name=np.concatenate((names.codes(o.call for o in operations), names.codes([WAIT_CALL] * waits.shape[1]))),
            correlation=np.concatenate((correlation, np.zeros(waits.shape[1]))),
        )
        return Trace(
            operations=Operations(
                start=np.array([o.start for o in operations]),
                end=np.array([o.end for o in operations]),
                kind=np.array([o.kind for o in operations]),
                device=np.zeros(len(operations)),
                stream=np.array([o.stream for o in operations]),
                name=names.codes(o.name for o in operations),
                correlation=correlation,
                step=np.array(steps),
                bytes=np.array([o.bytes for o in operations]),
                flops=np.array([o.flops for o in operations]),
            ),
            calls=calls.take(np.argsort(calls.start, kind="stable")),
            ranges=Ranges(
                start=ranges[2],
                end=ranges[3],
                thread=thread(ranges.shape[1]),
                name=range_names[ranges[0]],
                kind=np.array(RANGE_KINDS)[ranges[0]],
                step=ranges[1],
            ).take(order),
            samples=Samples(
                time=np.repeat(counters[:, 0], len(COUNTERS)),
                name=np.tile(names.codes(COUNTERS), len(counters)),
                value=counters[:, 1:].ravel(),
            ),
            names=names.values(),
            devices=(Device(0, 0, device_name, "engine"),),
            streams=STREAMS,
            threads=(Thread(0, "host"),),
            meta=meta,
        )
