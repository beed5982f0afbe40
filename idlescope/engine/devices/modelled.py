"""A GPU that is not there: virtual streams and events on a virtual clock.

Times come from a roofline of the GPU and the model (`step_time.py`) or are fixed. Tokens come from
a memory that behaves as the real one (`modelled_memory.py`). Effects happen as late as the events
allow, when the host waits for the step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from idlescope.engine.clock import VirtualClock
from idlescope.engine.devices.base import COMPUTE, D2H, H2D, DeviceOperation
from idlescope.engine.devices.modelled_memory import Memory
from idlescope.engine.devices.step_time import StepWork, step_ns
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import WORD_BYTES, Slot
from idlescope.hardware.gpus import GPU
from idlescope.hardware.latencies import GRAPH_LAUNCH_NS, SUCCESSION_NS
from idlescope.models.architecture import Model
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Int32

# Host cost of each API call beside GRAPH_LAUNCH_NS, from tests/gpu/latencies.py on an NVIDIA H200
# (torch 2.11.0+cu130, 2026-11-24), medians with no profiler attached:
MEMCPY_CALL_NS = 14_200  # Tensor.copy_(non_blocking=True) of pinned memory under a stream context
EVENT_CALL_NS = 840  # Event.record; Stream.wait_event takes 870

# Device side, beside SUCCESSION_NS. From the H200 traces of transformers' loop recorded for this
# project (2026-11-23):
ARRIVAL_NS = 1_500  # from the end of a launch call to its start on an idle device (fastest percent)
COPY_FIXED_NS = 2_500  # a small copy between pinned and device memory (intercept, 32 to 230 kB)
# and from tests/gpu/latencies.py:
EVENT_WAIT_NS = 1_600  # from an event on one stream to what waits for it on another
WAKE_NS = 15_000  # from an event to the return of a blocking wait, beyond a spinning one
COPY_BYTES_PER_S = 55.1e9  # 64 MB either way, PCIe 5 x16; taken for every GPU

COPY_NAMES = {
    H2D: "Memcpy HtoD (Pinned -> Device)",
    D2H: "Memcpy DtoH (Device -> Pinned)",
}


def step_calls_ns(memcpy_ns: int, graph_ns: int, event_ns: int) -> int:
    """Return the host cost of a step's API calls.

    Two copies, a graph, and five calls for events: three records and two waits.
    """
    return 2 * memcpy_ns + graph_ns + 5 * event_ns


@dataclass
class Stream:
    """A virtual stream: runs what is queued in order, each once all it waits for is over."""

    free: int = 0  # when what is queued will have ended, in ns on the run's clock

    def run(self, earliest: int, duration: int) -> tuple[int, int]:
        """Queue an operation; return its start and end."""
        start = max(self.free, earliest)
        self.free = start + duration
        return start, self.free


class ModelledDevice:
    """Implements `Device`."""

    kind = "modelled"
    measured = False

    def __init__(
        self,
        gpu: GPU,
        model: Model,
        seed: int = 0,
        host_ns: int | None = None,
        device_ns: int | None = None,
    ) -> None:
        self.gpu = gpu
        self.model = model
        self.name = f"modelled {gpu.name}"
        self._device_ns = device_ns
        # With a fixed host cost the API calls are a part of it: scaled down where it is smaller.
        calls = (MEMCPY_CALL_NS, GRAPH_LAUNCH_NS, EVENT_CALL_NS)
        scale = 1.0 if host_ns is None else min(1.0, host_ns / step_calls_ns(*calls))
        self._memcpy_ns, self._graph_ns, self._event_ns = (int(ns * scale) for ns in calls)
        api_ns = step_calls_ns(self._memcpy_ns, self._graph_ns, self._event_ns)
        self.clock = VirtualClock(host_ns, api_ns)
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
        spend = self.clock.spend
        copy_in = self._copy(H2D, WORD_BYTES * slot.used_words(batch.tokens))
        spend(2 * self._event_ns)  # record on H2D, wait on compute
        forward = self._forward(batch, copy_in.end + EVENT_WAIT_NS)
        spend(2 * self._event_ns)  # record on compute, wait on D2H
        copy_out = self._copy(D2H, WORD_BYTES * batch.sampled.size, forward.end + EVENT_WAIT_NS)
        spend(self._event_ns)  # record on D2H: what the host waits for
        ticket = ModelledTicket(self, slot, (copy_in, forward, copy_out))
        self._in_flight.append(ticket)
        return ticket

    def _copy(self, stream: int, moved: int, earliest: int = 0) -> DeviceOperation:
        """Issue a copy of so many bytes, which starts at the earliest then."""
        call_start, call_end = self._call(self._memcpy_ns)
        duration = COPY_FIXED_NS + round(1e9 * moved / COPY_BYTES_PER_S)
        earliest = max(call_end + ARRIVAL_NS, earliest)
        start, end = self._streams[stream].run(earliest, duration)
        kind, name = OperationKind.MEMCPY, COPY_NAMES[stream]
        call = "cudaMemcpyAsync"
        return DeviceOperation(
            stream, kind, name, call, call_start, call_end, start, end, moved, 0.0
        )

    def _forward(self, batch: Batch, inputs_there: int) -> DeviceOperation:
        """Issue a step's compute, which starts at the earliest when its inputs are there."""
        call_start, call_end = self._call(self._graph_ns)
        work = StepWork(batch.tokens, batch.sampled.size, batch.context, batch.pairs)
        duration = self._device_ns
        if duration is None:
            duration = step_ns(self.model, self.gpu, work)
        compute = self._streams[COMPUTE]
        earliest = max(call_end + ARRIVAL_NS, inputs_there, compute.free + SUCCESSION_NS)
        start, end = compute.run(earliest, duration)
        self._busy += duration
        kind, call = OperationKind.GRAPH, "cudaGraphLaunch"
        moved = self.model.step_bytes(work.context)
        flops = self.model.step_flops(work.tokens, work.sampled, work.pairs)
        return DeviceOperation(
            COMPUTE, kind, "forward", call, call_start, call_end, start, end, moved, flops
        )

    def _call(self, duration: int) -> tuple[int, int]:
        """Let the host make an API call; return its start and end."""
        start = self.clock.now()
        self.clock.spend(duration)
        return start, self.clock.now()

    def finish(self, ticket: ModelledTicket) -> None:
        """Let every step up to this one take effect, then wake the host."""
        assert self._memory is not None
        with self.clock.paused():
            while ticket in self._in_flight:
                oldest = self._in_flight.popleft()
                self._memory.run(oldest.slot)
        self.clock.wait_until(ticket.operations[D2H].end + WAKE_NS)

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
