"""A CUDA GPU: three streams, timed events, pinned slots, a graph for each bucket of rows and slot.

All that is particular to CUDA is here, in `cuda_clock.py`, in `sync_check.py` and in the network's
Triton modules.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import torch

from idlescope.engine.devices.base import COMPUTE, D2H, H2D, STREAMS
from idlescope.engine.devices.cuda_clock import CudaClock
from idlescope.engine.devices.streamed import Names, Span, StreamedDevice
from idlescope.engine.devices.sync_check import SyncCheck
from idlescope.engine.network.attention import Plan
from idlescope.engine.network.forward import Forward
from idlescope.engine.network.network import Network
from idlescope.engine.network.triton_attention import CudaAttention
from idlescope.engine.network.triton_kernels import KERNELS
from idlescope.engine.running_rows import Shape
from idlescope.engine.scheduler import Batch
from idlescope.engine.slots import Slot, SlotLayout
from idlescope.errors import ConfigError
from idlescope.trace.model import OperationKind

MIN_HEAD = 16  # Triton's smallest product

Graphs = dict[tuple[int, int], torch.cuda.CUDAGraph]  # by rows and slot


class Events(NamedTuple):
    """Timed events around a step's operation of one stream."""

    start: torch.cuda.Event
    end: torch.cuda.Event

    @classmethod
    def around(cls, stream: int) -> Events:
        """Make those for a stream.

        The start of compute is recorded within the graph: before its launch, the launch would count
        as compute. The end of the copy out is what the host waits for, without spinning.
        """
        return cls(
            torch.cuda.Event(enable_timing=True, external=stream == COMPUTE),
            torch.cuda.Event(enable_timing=True, blocking=stream == D2H),
        )

    @classmethod
    def of_slot(cls) -> list[Events]:
        """Make those of a slot, for each stream."""
        return [cls.around(stream) for stream in range(len(STREAMS))]


class CudaDevice(StreamedDevice):
    """Implements `Device` on the current CUDA device."""

    kind = "cuda"
    names = (
        Names(OperationKind.MEMCPY, "Memcpy HtoD (Pinned -> Device)", "cudaMemcpyAsync"),
        Names(OperationKind.GRAPH, "forward", "cudaGraphLaunch"),
        Names(OperationKind.MEMCPY, "Memcpy DtoH (Device -> Pinned)", "cudaMemcpyAsync"),
    )

    def __init__(
        self,
        network: Network,
        graphs: bool = True,
        sync_check: str = "off",
        host_ns: int | None = None,
    ) -> None:
        super().__init__(network.model, host_ns)
        self.network, self.graphs = network, graphs
        self.name = torch.cuda.get_device_name()
        self._check = SyncCheck(sync_check)
        self._forward: Forward  # while open
        self._captured: Graphs = {}
        self._eager_steps = 0  # those without a graph

    def _start(self, shape: Shape, slots: int) -> list[Slot]:
        head_dim = self.model.head_dim
        if head_dim & (head_dim - 1) or head_dim < MIN_HEAD:
            raise ConfigError(
                f"{self.model.name} has heads of {head_dim}, and the CUDA kernels need a power of "
                f"two from {MIN_HEAD}: use --device cpu"
            )
        try:
            self._allocate(shape, slots)
        except torch.cuda.OutOfMemoryError:
            raise ConfigError(
                f"{self.model.name} with {shape.blocks} KV blocks does not fit {self.name}: "
                "give fewer --kv-blocks"
            ) from None
        torch.cuda.synchronize()
        self._gpu_clock = CudaClock()
        self._anchors = [self._gpu_clock.newest] * slots
        self._check.start()
        return [
            Slot(shape, inputs.numpy(), output.numpy())
            for inputs, output in zip(self._inputs, self._outputs, strict=True)
        ]

    def _allocate(self, shape: Shape, slots: int) -> None:
        """Make the network, the host's side of the slots in pinned memory, streams and graphs."""
        self._forward = self.network.load(shape, slots, "cuda", CudaAttention, KERNELS)
        slot_words = SlotLayout.of(shape).words
        self._inputs = [pinned(slot_words) for _ in range(slots)]
        self._outputs = [pinned(shape.rows) for _ in range(slots)]
        self._streams = [torch.cuda.Stream() for _ in STREAMS]
        self._events = [Events.of_slot() for _ in range(slots)]
        self._buckets = buckets(shape.rows)
        self._captured = self._capture(shape, slots) if self.graphs else {}

    def begin(self) -> None:
        """Begin the run: the clock is at 0 now, and steps before were only to warm up."""
        self._eager_steps = 0
        self._check.found.clear()
        super().begin()

    def _capture(self, shape: Shape, slots: int) -> Graphs:
        """Return a graph of the decode step for each bucket and slot.

        All are in one memory pool: the largest first.
        """
        captured: Graphs = {}
        graph_pool, stream = torch.cuda.graph_pool_handle(), self._streams[COMPUTE]
        for row_count in reversed(self._buckets):
            graph_plan = Plan(
                (1,) * row_count, (shape.length,) * row_count, row_count, padded=True
            )
            for slot_index in range(slots):
                with torch.cuda.stream(stream):
                    self._forward(
                        slot_index, graph_plan
                    )  # compiles kernels, which a capture must not
                torch.cuda.synchronize()
                cuda_graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(
                    cuda_graph,
                    pool=graph_pool,
                    stream=stream,
                    capture_error_mode="thread_local",
                ):
                    self._events[slot_index][COMPUTE].start.record()
                    self._forward(slot_index, graph_plan)
                captured[row_count, slot_index] = cuda_graph
        return captured

    def _issue(self, stream: int, waits_for: int | None, slot: int, batch: Batch) -> None:
        cuda_stream, slot_events = self._streams[stream], self._events[slot]
        if waits_for is not None:
            cuda_stream.wait_event(slot_events[waits_for].end)
        with torch.cuda.stream(cuda_stream):
            if stream == COMPUTE:
                self._compute(slot, batch)
            else:
                slot_events[stream].start.record()
                self._copy(stream, slot, batch)
            slot_events[stream].end.record()

    def _copy(self, stream: int, slot: int, batch: Batch) -> None:
        if stream == H2D:
            used_words = self._slots[slot].used_words(batch.tokens)
            self._forward.inputs[slot][:used_words].copy_(
                self._inputs[slot][:used_words], non_blocking=True
            )
            self._anchors[slot] = self._gpu_clock.newest
        else:
            sampled = batch.sampled.size
            tokens = self._forward.outputs[slot][1 : sampled + 1]
            self._outputs[slot][:sampled].copy_(tokens, non_blocking=True)

    def _compute(self, slot: int, batch: Batch) -> None:
        """Launch the forward pass, whose start is an event of its own: a graph holds it."""
        row_count = batch.rows.size
        if self._captured and batch.tokens == row_count == batch.sampled.size:
            bucket = self._buckets[bisect.bisect_left(self._buckets, row_count)]
            self._captured[bucket, slot].replay()
        else:
            self._eager_steps += 1
            self._events[slot][COMPUTE].start.record()
            queries = tuple(batch.queries.tolist())
            contexts = tuple((batch.start + batch.queries).tolist())
            self._forward(slot, Plan(queries, contexts, batch.sampled.size))

    def _wait(self, slot: int) -> Sequence[Span]:
        events = self._events[slot]
        events[D2H].end.synchronize()
        anchor = self._anchors[slot]
        stream_spans = [
            (self.clock.at(anchor.at(start_event)), self.clock.at(anchor.at(end_event)))
            for start_event, end_event in events
        ]
        self._gpu_clock.keep()
        return stream_spans

    def notes(self) -> tuple[str, ...]:
        """Return what waited for the device, and how many steps had no graph."""
        device_notes = list(self._check.report())
        if self._eager_steps:
            device_notes.append(
                f"steps without a CUDA graph, as all with prompts are: {self._eager_steps}; "
                "gaps between their kernels count as active"
            )
        return tuple(device_notes)

    def _stop(self) -> None:
        self._check.stop()
        with contextlib.suppress(RuntimeError):  # a GPU that has failed has said so
            torch.cuda.synchronize()
        self._captured = {}
        vars(self).pop("_forward", None)
        torch.cuda.empty_cache()


def pinned(words: int) -> torch.Tensor:
    """Return so many int32 of host memory that the device copies from without the host's help."""
    return torch.zeros(words, dtype=torch.int32, pin_memory=True)


def buckets(rows: int) -> list[int]:
    """Return the batch sizes with graphs, ascending.

    1, 2, 4, multiples of 8 to 64 and of 32 beyond, and `rows`.
    """
    bucket_sizes = {1, 2, 4, *range(8, 64, 8), *range(64, rows + 1, 32), rows}
    return sorted(bucket_size for bucket_size in bucket_sizes if bucket_size <= rows)
