"""A GPU that is not there: virtual streams and events on a virtual clock.

Times come from a roofline of the GPU and the model (`step_time.py`) or are fixed. Tokens come from
a memory that behaves as the real one (`modelled_memory.py`). Effects happen as late as the events
allow, when the host waits for the step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from idlescope.engine.clock import VirtualClock, fixed_costs, phase_costs
from idlescope.engine.devices.base import COMPUTE, D2H, H2D, DeviceOperation
from idlescope.engine.devices.modelled_memory import Memory
from idlescope.engine.devices.step_time import StepWork, step_ns
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import WORD_BYTES, Slot
from idlescope.hardware.gpus import GPU, modelled_name
from idlescope.hardware.latencies import (
    HOST_PROFILES,
    SUCCESSION_NS,
    THIS_HOST,
    HostProfile,
)
from idlescope.models.architecture import Model
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Int32

# Device side, beside SUCCESSION_NS, from tests/gpu/latencies.py on an NVIDIA H200 (torch
# 2.11.0+cu130, 2026-11-24):
EVENT_WAIT_NS = 1_600  # from an event on one stream to what waits for it on another
COPY_BYTES_PER_S = 55.1e9  # 64 MB either way, PCIe 5 x16; taken for every GPU
# A small copy between pinned and device memory (intercept of copies of 32 to 230 kB in the H200
# traces of transformers' loop recorded for this project, 2026-11-23)
COPY_FIXED_NS = 2_500
# From the end of a launch call to its start on an idle device (fastest percent, same traces)
ARRIVAL_NS = 1_500

COPY_NAMES = {
    H2D: "Memcpy HtoD (Pinned -> Device)",
    D2H: "Memcpy DtoH (Device -> Pinned)",
}


@dataclass
class Stream:
    """A virtual stream: runs what is queued in order, each once all it waits for is over."""

    free: int = 0  # when what is queued will have ended, in ns on the run's clock

    def run(self, earliest: int, duration: int) -> tuple[int, int]:
        """Queue an operation; return its start and end."""
        start_ns = max(self.free, earliest)
        self.free = start_ns + duration
        return start_ns, self.free


class ModelledDevice:
    """Implements `Device`.

    Its host costs what `host` says. With `host_ns` each step costs the host so much in all, calls
    included; with `device_ns` each step computes for so long.
    """

    kind = "modelled"
    measured = False

    def __init__(
        self,
        gpu: GPU,
        model: Model,
        seed: int = 0,
        host_ns: int | None = None,
        device_ns: int | None = None,
        host: HostProfile = HOST_PROFILES[THIS_HOST],
    ) -> None:
        self.gpu = gpu
        self.model = model
        self._device_ns = device_ns
        if host_ns is None:
            self.name = modelled_name(gpu, host.key)
            self.clock = VirtualClock(None if host.work is None else phase_costs(host.work))
            self._host = host
        else:  # of which the calls are a part
            self.name = modelled_name(gpu)
            self._host = HOST_PROFILES[THIS_HOST].scaled_to(host_ns)
            self.clock = VirtualClock(fixed_costs(max(0, host_ns - self._host.calls_ns)))
        self._streams = (Stream(), Stream(), Stream())
        self._busy = 0
        self._in_flight: deque[ModelledTicket] = deque()
        self._memory: Memory | None = None
        self._seed = seed

    def open(self, shape: Shape, slots: int) -> list[Slot]:
        """Make the slots and the key-value memory."""
        self._memory = Memory(shape, self.model.vocab, self._seed)
        return [Slot(shape) for _ in range(slots)]

    def begin(self) -> None:
        """Begin the run: the clock is at 0 now."""
        self.clock.start()

    def submit(self, slot: Slot, batch: Batch) -> ModelledTicket:
        """Issue H2D, compute and D2H of a step, each on its stream and after the one before."""
        event_call = self._host.event_call_ns
        input_bytes = WORD_BYTES * slot.used_words(batch.tokens)
        token_bytes = WORD_BYTES * batch.sampled.size
        copy_in = self._copy_in(input_bytes)
        self.clock.spend(2 * event_call)  # record on H2D, wait on compute
        forward = self._forward(batch, copy_in.end + EVENT_WAIT_NS)
        self.clock.spend(2 * event_call)  # record on compute, wait on D2H
        copy_out = self._copy_out(token_bytes, forward.end + EVENT_WAIT_NS)
        self.clock.spend(event_call)  # record on D2H: what the host waits for
        ticket = ModelledTicket(self, slot, (copy_in, forward, copy_out))
        self._in_flight.append(ticket)
        return ticket

    def _copy_in(self, moved: int) -> DeviceOperation:
        """Issue the copy of a step's inputs, so many bytes."""
        copy_call = self._call(self._host.copy_in_call_ns)
        _, call_end = copy_call
        earliest = call_end + self._host.copy_in_start_ns
        duration = self._host.copy_in_ns + transfer_ns(moved)
        copy_span = self._streams[H2D].run(earliest, duration)
        return copy_operation(H2D, copy_call, copy_span, moved)

    def _copy_out(self, moved: int, tokens_there: int) -> DeviceOperation:
        """Issue the copy of a step's tokens, so many bytes, which waits for them."""
        copy_call = self._call(self._host.copy_out_call_ns)
        _, call_end = copy_call
        earliest = max(call_end + ARRIVAL_NS, tokens_there)
        duration = COPY_FIXED_NS + transfer_ns(moved)
        span = self._streams[D2H].run(earliest, duration)
        return copy_operation(D2H, copy_call, span, moved)

    def _forward(self, batch: Batch, inputs_there: int) -> DeviceOperation:
        """Issue a step's compute, which starts at the earliest when its inputs are there."""
        call_start, call_end = self._call(self._host.graph_call_ns)
        launched = call_end + self._host.graph_start_ns
        compute = self._streams[COMPUTE]
        after_previous = compute.free + SUCCESSION_NS
        sampled = batch.sampled.size
        duration = self._device_ns
        if duration is None:
            step_work = StepWork(batch.tokens, sampled, batch.context, batch.pairs)
            duration = step_ns(self.model, self.gpu, step_work)
        forward_start, forward_end = compute.run(
            max(launched, inputs_there, after_previous), duration
        )
        self._busy += duration
        return DeviceOperation(
            stream=COMPUTE,
            kind=OperationKind.GRAPH,
            name="forward",
            call="cudaGraphLaunch",
            call_start=call_start,
            call_end=call_end,
            start=forward_start,
            end=forward_end,
            bytes=self.model.step_bytes(batch.context),
            flops=self.model.step_flops(batch.tokens, sampled, batch.pairs),
        )

    def _call(self, duration: int) -> tuple[int, int]:
        """Let the host make an API call; return its start and end."""
        call_start = self.clock.now()
        self.clock.spend(duration)
        return call_start, self.clock.now()

    def finish(self, ticket: ModelledTicket) -> None:
        """Let every step up to this one take effect, then wake the host."""
        assert self._memory is not None
        with self.clock.paused():
            while ticket in self._in_flight:
                oldest = self._in_flight.popleft()
                self._memory.run(oldest.slot)
        tokens_there = ticket.operations[D2H].end
        if self.clock.now() < tokens_there:  # else the wait does not block
            self.clock.wait_until(tokens_there + self._host.wake_ns)

    def busy_ns(self) -> int:
        """Return the compute time of all steps submitted so far."""
        return self._busy

    def notes(self) -> tuple[str, ...]:
        """Return nothing: what is to say is said beforehand."""
        return ()

    def close(self) -> None:
        """Forget what is in flight."""
        self._in_flight.clear()
        self._memory = None


class ModelledTicket:
    """Implements `Ticket`."""

    def __init__(
        self, device: ModelledDevice, slot: Slot, operations: tuple[DeviceOperation, ...]
    ) -> None:
        self._device = device
        self.slot = slot
        self.operations = operations

    def wait(self) -> Int32:
        """Block, on the virtual clock, until the tokens are on the host."""
        self._device.finish(self)
        _, _, sampled, _ = self.slot.header
        return self.slot.output[:sampled].copy()


def transfer_ns(moved: int) -> int:
    """Return what so many bytes add to the time of a copy."""
    return round(1e9 * moved / COPY_BYTES_PER_S)


def copy_operation(
    stream: int, call: tuple[int, int], span: tuple[int, int], moved: int
) -> DeviceOperation:
    """Return the copy of a stream, its call and itself from start to end."""
    operation_kind, copy_name = OperationKind.MEMCPY, COPY_NAMES[stream]
    return DeviceOperation(
        stream, operation_kind, copy_name, "cudaMemcpyAsync", *call, *span, moved, 0.0
    )
