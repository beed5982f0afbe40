"""A device of three streams, each with its own queue: a step is a copy in, its compute and a copy out, in that order.

What goes on which stream and what waits for what stands here once, for the CPU's worker and for CUDA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from idlescope.engine.clock import SystemClock
from idlescope.engine.devices.base import COMPUTE, D2H, H2D, DeviceOperation
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import Slot
from idlescope.models.architecture import Model
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Int32

Span = tuple[int, int]  # start and end in nanoseconds on the run's clock


class Names(NamedTuple):
    """What an operation and the call that issues it are called in traces."""

    kind: OperationKind
    operation: str
    call: str


class StreamedDevice:
    """Implements `Device` but for what touches hardware: `_start`, `_issue`, `_wait`, `_stop`."""

    kind: str
    name: str
    measured = True
    names: tuple[Names, Names, Names]  # of each stream's operation

    def __init__(self, model: Model, host_ns: int | None = None) -> None:
        self.model = model
        self.clock = SystemClock(host_ns)
        self._slots: list[Slot] = []
        self._busy = 0

    def open(self, shape: Shape, slots: int) -> list[Slot]:
        """Make the slots on both sides, the weights and the KV cache."""
        self._slots = self._start(shape, slots)
        return list(self._slots)

    def begin(self) -> None:
        """Begin the run: the clock is at 0 now, and steps before were only to warm up."""
        self._busy = 0
        self.clock.start()

    def submit(self, slot: Slot, batch: Batch) -> StreamedTicket:
        """Issue a step: each stream waits for the event that the stream before it records."""
        index = self._slots.index(slot)
        calls = []
        for stream, waits_for in ((H2D, None), (COMPUTE, H2D), (D2H, COMPUTE)):
            start = self.clock.now()
            self._issue(stream, waits_for, index, batch)
            calls.append((start, self.clock.now()))
        return StreamedTicket(self, slot, index, batch, calls)

    def finish(self, ticket: StreamedTicket) -> Int32:
        """Wait for a step's copy out; return its tokens and note what it ran."""
        spans = self._wait(ticket.index)
        spans = [
            (max(start, call), end)
            for (start, end), (call, _) in zip(spans, ticket.calls, strict=True)
        ]
        batch, sampled = ticket.batch, ticket.batch.sampled.size
        work = (
            (4 * ticket.slot.used_words(batch.tokens), 0.0),
            (
                self.model.step_bytes(batch.context),
                self.model.step_flops(batch.tokens, sampled, batch.pairs),
            ),
            (4 * sampled, 0.0),
        )
        ticket.operations = tuple(
            DeviceOperation(stream, *names, *call, *span, *amount)
            for stream, (names, call, span, amount) in enumerate(
                zip(self.names, ticket.calls, spans, work, strict=True)
            )
        )
        self._busy += spans[COMPUTE][1] - spans[COMPUTE][0]
        return ticket.slot.output[:sampled].copy()

    def busy_ns(self) -> int:
        """Return the compute time of all steps retired so far."""
        return self._busy

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of the steps that were run, in sentences."""
        return ()

    def close(self) -> None:
        """Free everything. Steps in flight end first, unless the device has failed."""
        self._stop()
        self._slots = []

    def _start(self, shape: Shape, slots: int) -> list[Slot]:
        raise NotImplementedError

    def _issue(self, stream: int, waits_for: int | None, slot: int, batch: Batch) -> None:
        """Put a step's operation of a stream in its queue, behind the slot's event of another stream."""
        raise NotImplementedError

    def _wait(self, slot: int) -> Sequence[Span]:
        """Block until the slot's copy out has ended; return when each stream's operation ran."""
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError


class StreamedTicket:
    """Implements `Ticket`."""

    operations: tuple[DeviceOperation, ...] = ()

    def __init__(
        self, device: StreamedDevice, slot: Slot, index: int, batch: Batch, calls: list[Span]
    ) -> None:
        self._device, self.slot, self.index, self.batch, self.calls = (
            device,
            slot,
            index,
            batch,
            calls,
        )

    def wait(self) -> Int32:
        """Block until the tokens are on the host."""
        return self._device.finish(self)
