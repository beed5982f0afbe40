"""A device of three streams, each with its own queue.

A step is a copy in, its compute and a copy out, in that order. What goes on which stream and what
waits for what stands here once, for the CPU's worker and for CUDA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from idlescope.engine.clock import SystemClock
from idlescope.engine.devices.base import COMPUTE, D2H, H2D, DeviceOperation
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import WORD_BYTES, Slot
from idlescope.models.architecture import Model
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Int32

Span = tuple[int, int]  # start and end in ns on the run's clock

# each stream of a step in order, and the stream whose event it waits for
ORDER = ((H2D, None), (COMPUTE, H2D), (D2H, COMPUTE))


class Names(NamedTuple):
    """What an operation and the call that issues it are called in traces."""

    kind: OperationKind
    operation: str
    call: str


class Amount(NamedTuple):
    """How much an operation moves and computes."""

    bytes: int
    flops: float


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
        slot_index = self._slots.index(slot)
        call_spans: list[Span] = []
        for stream, waits_for in ORDER:
            call_start = self.clock.now()
            self._issue(stream, waits_for, slot_index, batch)
            call_spans.append((call_start, self.clock.now()))
        return StreamedTicket(self, slot, slot_index, batch, call_spans)

    def finish(self, ticket: StreamedTicket) -> Int32:
        """Wait for a step's copy out; return its tokens and note what it ran."""
        batch, slot = ticket.batch, ticket.slot
        sampled = batch.sampled.size
        # an operation cannot begin before the call that issues it, whatever the clocks say
        stream_spans = [
            (max(span_start, call_start), span_end)
            for (span_start, span_end), (call_start, _) in zip(
                self._wait(ticket.index), ticket.calls, strict=True
            )
        ]
        amounts = (
            Amount(WORD_BYTES * slot.used_words(batch.tokens), 0.0),
            Amount(
                self.model.step_bytes(batch.context),
                self.model.step_flops(batch.tokens, sampled, batch.pairs),
            ),
            Amount(WORD_BYTES * sampled, 0.0),
        )
        ticket.operations = tuple(
            DeviceOperation(stream, *operation_names, *launch_call, *stream_span, *amount)
            for stream, (operation_names, launch_call, stream_span, amount) in enumerate(
                zip(self.names, ticket.calls, stream_spans, amounts, strict=True)
            )
        )
        compute_start, compute_end = stream_spans[COMPUTE]
        self._busy += compute_end - compute_start
        return slot.output[:sampled].copy()

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
        """Queue a step's operation of a stream, behind the slot's event of another stream."""
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
        self,
        device: StreamedDevice,
        slot: Slot,
        index: int,
        batch: Batch,
        calls: list[Span],
    ) -> None:
        self._device = device
        self.slot = slot
        self.index = index  # of the slot
        self.batch = batch
        self.calls = calls  # that issued the operation of each stream

    def wait(self) -> Int32:
        """Block until the tokens are on the host."""
        return self._device.finish(self)
