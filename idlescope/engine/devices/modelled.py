"""A GPU that is not there: virtual streams and events on a virtual clock, and a memory that behaves as the real one.

Times come from a roofline of the GPU and the model (`kernels.py`) or are fixed. Tokens come from a hash of the whole
context, read through the slot's block table, carry-over indices and a key-value memory that steps really write: a
wrong carry-over, a block freed too early or an input buffer reused too soon changes the tokens. Effects happen as late
as the events allow, when the host waits for the step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idlescope.engine.clock import VirtualClock
from idlescope.engine.devices.base import COMPUTE, D2H, H2D, DeviceOperation
from idlescope.engine.devices.step_time import StepWork, step_ns
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import Slot
from idlescope.hardware.gpus import GPU
from idlescope.hardware.latencies import GRAPH_LAUNCH_NS, SUCCESSION_NS
from idlescope.models.architecture import Model
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Int32

UInt64 = NDArray[np.uint64]

# Host cost of each API call beside GRAPH_LAUNCH_NS, from tests/gpu/latencies.py on an NVIDIA H200 (torch 2.11.0+cu130,
# 2026-11-24), medians with no profiler attached:
MEMCPY_CALL_NS = 14_200  # Tensor.copy_(non_blocking=True) of pinned memory under a stream context
EVENT_CALL_NS = 840  # Event.record; Stream.wait_event takes 870
# Device side, beside SUCCESSION_NS. The first is from the H200 traces of transformers' loop recorded for this project
# (2026-11-23):
ARRIVAL_NS = 1_500  # from the end of a launch call to its start on an idle device (fastest percent of 480 launches)
EVENT_WAIT_NS = 1_600  # from an event on one stream to what waits for it on another (latencies.py)
WAKE_NS = 15_000  # from an event to the return of a blocking wait, beyond a spinning one (latencies.py, short waits)
COPY_FIXED_NS = (
    2_500  # a small copy between pinned and device memory (same traces: 32 kB to 230 kB, intercept)
)
COPY_BYTES_PER_S = 55.1e9  # latencies.py, 64 MB either way, PCIe 5 x16; taken for every GPU


def step_calls_ns(memcpy_ns: int, graph_ns: int, event_ns: int) -> int:
    """Return the host cost of a step's API calls: two copies, a graph, three records and two waits of events."""
    return 2 * memcpy_ns + graph_ns + 5 * event_ns


@dataclass
class Stream:
    """A virtual stream: runs what is queued in order, each operation once all it waits for is over."""

    free: int = 0

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
        self.gpu, self.model = gpu, model
        self.name = f"modelled {gpu.name}"
        self._device_ns = device_ns
        # With a fixed host cost the API calls are a part of it: they are scaled down where it is smaller than they are.
        calls = (MEMCPY_CALL_NS, GRAPH_LAUNCH_NS, EVENT_CALL_NS)
        scale = 1.0 if host_ns is None else min(1.0, host_ns / step_calls_ns(*calls))
        self._memcpy_ns, self._graph_ns, self._event_ns = (int(ns * scale) for ns in calls)
        self.clock = VirtualClock(
            host_ns, step_calls_ns(self._memcpy_ns, self._graph_ns, self._event_ns)
        )
        self._streams = (Stream(), Stream(), Stream())
        self._busy = 0
        self._flying: deque[ModelledTicket] = deque()
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
        clock, (h2d, compute, d2h) = self.clock, self._streams
        work = StepWork(batch.tokens, batch.sampled.size, batch.context, batch.pairs)
        in_bytes, out_bytes = 4 * slot.used_words(batch.tokens), 4 * batch.sampled.size

        call = self._call(self._memcpy_ns)
        span = h2d.run(call[1] + ARRIVAL_NS, self._copy_ns(in_bytes))
        copy_in = DeviceOperation(
            H2D,
            OperationKind.MEMCPY,
            "Memcpy HtoD (Pinned -> Device)",
            "cudaMemcpyAsync",
            *call,
            *span,
            in_bytes,
            0.0,
        )
        clock.spend(2 * self._event_ns)  # record on H2D, wait on compute
        call = self._call(self._graph_ns)
        duration = (
            self._device_ns if self._device_ns is not None else step_ns(self.model, self.gpu, work)
        )
        earliest = max(
            call[1] + ARRIVAL_NS, copy_in.end + EVENT_WAIT_NS, compute.free + SUCCESSION_NS
        )
        span = compute.run(earliest, duration)
        moved = self.model.step_bytes(work.context)
        flops = self.model.step_flops(work.tokens, work.sampled, work.pairs)
        forward = DeviceOperation(
            COMPUTE, OperationKind.GRAPH, "forward", "cudaGraphLaunch", *call, *span, moved, flops
        )
        self._busy += duration
        clock.spend(2 * self._event_ns)  # record on compute, wait on D2H
        call = self._call(self._memcpy_ns)
        span = d2h.run(
            max(call[1] + ARRIVAL_NS, forward.end + EVENT_WAIT_NS), self._copy_ns(out_bytes)
        )
        copy_out = DeviceOperation(
            D2H,
            OperationKind.MEMCPY,
            "Memcpy DtoH (Device -> Pinned)",
            "cudaMemcpyAsync",
            *call,
            *span,
            out_bytes,
            0.0,
        )
        clock.spend(self._event_ns)  # record on D2H: what the host waits for
        ticket = ModelledTicket(self, slot, (copy_in, forward, copy_out))
        self._flying.append(ticket)
        return ticket

    def _call(self, ns: int) -> tuple[int, int]:
        start = self.clock.now()
        self.clock.spend(ns)
        return start, self.clock.now()

    def _copy_ns(self, nbytes: int) -> int:
        return COPY_FIXED_NS + round(1e9 * nbytes / COPY_BYTES_PER_S)

    def finish(self, ticket: ModelledTicket) -> None:
        """Let every step up to this one take effect, then wake the host."""
        assert self._memory is not None
        with self.clock.paused():
            while ticket in self._flying:
                flying = self._flying.popleft()
                self._memory.run(flying.slot)
        self.clock.wait_until(ticket.operations[D2H].end + WAKE_NS)

    def busy_ns(self) -> int:
        """Return the compute time of all steps submitted so far."""
        return self._busy

    def notes(self) -> tuple[str, ...]:
        """Return nothing: what is to say is said beforehand."""
        return ()

    def close(self) -> None:
        """Forget what is in flight."""
        self._flying.clear()
        self._memory = None


class ModelledTicket:
    """Implements `Ticket`."""

    def __init__(
        self, device: ModelledDevice, slot: Slot, operations: tuple[DeviceOperation, ...]
    ) -> None:
        self._device, self.slot, self.operations = device, slot, operations

    def wait(self) -> Int32:
        """Block, on the virtual clock, until the tokens are on the host."""
        self._device.finish(self)
        return self.slot.output[: self.slot.header[2]].copy()


class Memory:
    """The device's memory: output tokens, and a hash of the context where KV would be.

    The state of a context is h(t) = h(t-1) * A + token(t) + 1 modulo 2**64, from h(-1) = the request's own start; it is
    stored at each token's place in the paged cache, so a step reads it through the block table it was given.
    """

    A = 6364136223846793005  # Knuth's MMIX multiplier: odd, so that it has an inverse modulo 2**64

    def __init__(self, shape: Shape, vocab: int, seed: int) -> None:
        self._shape, self._vocab = shape, np.uint64(vocab)
        self._start = np.uint64(np.random.default_rng(seed).integers(0, 2**63))
        self._kv: UInt64 = np.zeros(shape.blocks * shape.block_size, np.uint64)
        self._output: Int32 = np.zeros(
            shape.rows + 1, np.int32
        )  # the last element stays 0: carry-over -1 reads it
        powers = np.full(shape.tokens + 1, self.A, np.uint64)
        inverses = np.full(shape.tokens + 1, pow(self.A, -1, 2**64), np.uint64)
        powers[0] = inverses[0] = 1
        self._power = np.multiply.accumulate(powers)
        self._inverse = np.multiply.accumulate(inverses)

    def run(self, slot: Slot) -> None:
        """Read the slot's inputs, write the cache, sample, and copy the tokens to the slot's output."""
        b, n, s = (int(v) for v in slot.header[:3])
        fields, table, size = slot.tokens[:n], slot.table, self._shape.block_size
        token = (fields[:, 0] + self._output[fields[:, 2]]).astype(np.uint64) + np.uint64(1)
        rows, ends = slot.rows[:b], slot.query_end[:b]
        firsts = np.concatenate(([0], ends[:-1]))
        before = fields[firsts, 1] - 1
        read = self._kv[table[rows, before // size] * size + before % size]
        read = np.where(before >= 0, read, mix(self._start + slot.request[:b].astype(np.uint64)))
        if n == b:
            state = read * self._power[1] + token
        else:
            counts = ends - firsts
            which = np.repeat(np.arange(b), counts)
            sums = np.cumsum(token * self._inverse[:n])
            base = np.where(firsts > 0, sums[firsts - 1], np.uint64(0))
            within = np.arange(n) - np.repeat(firsts, counts)
            state = (
                self._power[np.arange(n)] * (sums - base[which])
                + read[which] * self._power[within + 1]
            )
        self._kv[fields[:, 3]] = state
        sampled = (mix(state[slot.sample_at[:s]]) % self._vocab).astype(np.int32)
        self._output[:s] = sampled
        slot.output[:s] = sampled


def mix(values: UInt64) -> UInt64:
    """Return well-spread hashes: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
