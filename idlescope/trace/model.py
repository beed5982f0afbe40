"""The Trace: columnar tables that every reader makes and every analysis takes.

Times are int64 nanoseconds on one clock per trace. Text is stored once in `Trace.names`; columns
hold int32 indices into it. A missing step is -1, a missing correlation id 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.metadata import Metadata
from idlescope.trace.table import Bool, Float64, Int64, Table


class OperationKind(IntEnum):
    """What ran on the device."""

    KERNEL = 0
    MEMCPY = 1
    MEMSET = 2
    GRAPH = 3  # one record for a whole graph launch


class RangeKind(IntEnum):
    """What a host range says the thread was doing."""

    ANNOTATION = 0  # NVTX range, record_function, or a phase of our engine
    OPERATOR = 1
    FRAME = 2  # a Python function
    OVERHEAD = 3  # the profiler's own work
    GARBAGE_COLLECTION = 4
    NO_DEMAND = 5  # the engine had no request


@dataclass(frozen=True)
class Operations(Table):
    """Kernels, copies, memsets and graph-level records that ran on a device."""

    DTYPES: ClassVar[Mapping[str, str]] = {
        "start": "i8",
        "end": "i8",
        "kind": "u1",
        "device": "i4",
        "stream": "i4",
        "name": "i4",
        "correlation": "i8",
        "step": "i4",
        "bytes": "i8",
        "flops": "f8",
    }
    start: Int64  # ns
    end: Int64  # ns
    kind: NDArray[np.uint8]  # OperationKind
    device: NDArray[np.int32]  # index into Trace.devices
    stream: NDArray[np.int32]  # index into Trace.streams
    name: NDArray[np.int32]  # index into Trace.names
    correlation: Int64  # id shared with the launch call of the same process; 0: none
    step: NDArray[np.int32]  # step of the batching loop; -1: not recorded
    # bytes copied, or the fewest bytes of device memory a compute operation must move; 0: unknown
    bytes: Int64
    flops: Float64  # floating-point operations of a compute operation; 0: unknown


@dataclass(frozen=True)
class Calls(Table):
    """Runtime and driver API calls made by the host."""

    DTYPES: ClassVar[Mapping[str, str]] = {
        "start": "i8",
        "end": "i8",
        "thread": "i4",
        "name": "i4",
        "correlation": "i8",
    }
    start: Int64  # ns
    end: Int64  # ns
    thread: NDArray[np.int32]  # index into Trace.threads
    name: NDArray[np.int32]  # index into Trace.names
    correlation: Int64


@dataclass(frozen=True)
class Ranges(Table):
    """Named spans of host time: phases, annotations, operators, Python frames, overhead."""

    DTYPES: ClassVar[Mapping[str, str]] = {
        "start": "i8",
        "end": "i8",
        "thread": "i4",
        "name": "i4",
        "kind": "u1",
        "step": "i4",
    }
    start: Int64  # ns
    end: Int64  # ns
    thread: NDArray[np.int32]  # index into Trace.threads
    name: NDArray[np.int32]  # index into Trace.names
    kind: NDArray[np.uint8]  # RangeKind
    step: NDArray[np.int32]  # step that the work belongs to; -1: not recorded


@dataclass(frozen=True)
class Counters(Table):
    """Values over time, such as requests running or free KV blocks."""

    DTYPES: ClassVar[Mapping[str, str]] = {"time": "i8", "name": "i4", "value": "f8"}
    time: Int64  # ns
    name: NDArray[np.int32]  # index into Trace.names
    value: Float64


@dataclass(frozen=True)
class Collectives(Table):
    """Process groups of communication kernels, where the profiler recorded them (not in graphs)."""

    DTYPES: ClassVar[Mapping[str, str]] = {
        "device": "i4",
        "correlation": "i8",
        "name": "i4",
    }
    device: NDArray[np.int32]  # index into Trace.devices
    correlation: Int64  # of the kernel
    name: NDArray[np.int32]  # index into Trace.names: what the process group is called


@dataclass(frozen=True)
class Device:
    """One GPU as one process saw it."""

    process: int  # code shared with Thread.process: correlation ids are unique within it
    index: int  # the trace's device number
    name: str = ""
    process_name: str = ""  # pid, rank or file: what tells processes apart
    identity: str = ""  # UUID or PCI id, where the trace has it


@dataclass(frozen=True)
class Thread:
    """One host thread."""

    process: int
    label: str


@dataclass(frozen=True)
class TracePart:
    """One file of a folder of ranks, within the Trace of all of them: rows of its tables."""

    file: str  # its name
    distributed: Mapping[str, Any]  # what it says of its rank and its process groups
    operations: slice
    calls: slice
    ranges: slice
    counters: slice
    collectives: slice


@dataclass(frozen=True, repr=False)
class Trace:
    """Everything that was recorded, wherever it came from."""

    operations: Operations
    calls: Calls
    ranges: Ranges
    counters: Counters
    names: tuple[str, ...]
    devices: tuple[Device, ...]
    streams: tuple[str, ...]
    threads: tuple[Thread, ...]
    meta: Metadata = field(default_factory=Metadata)
    collectives: Collectives = field(default_factory=Collectives.empty)
    parts: tuple[TracePart, ...] = ()  # one per file of a folder of ranks

    def __repr__(self) -> str:
        figures = ", ".join(f"{count:,} {what}" for what, count in self._sizes().items())
        return f"Trace of {self.meta.path or 'memory'}: {figures}"

    def _repr_html_(self) -> str:
        """Return how much of what the trace holds, as a small table for notebooks."""
        from html import escape

        cells = "".join(
            f"<tr><td>{what}</td><td>{count:,}</td></tr>"
            for what, count in self._sizes().items()
        )
        return f"<p><b>{escape(self.meta.path or 'memory')}</b></p><table>{cells}</table>"

    def _sizes(self) -> dict[str, int]:
        return {
            "operations": len(self.operations),
            "calls": len(self.calls),
            "ranges": len(self.ranges),
            "counters": len(self.counters),
            "devices": len(self.devices),
            "threads": len(self.threads),
        }

    def files(self) -> list[Trace]:
        """Return the Trace of each file of a folder of ranks; else this one."""
        return [self._of_file(part) for part in self.parts] or [self]

    def _of_file(self, part: TracePart) -> Trace:
        """Return the Trace of one file of a folder; codes and clock are those of the folder's."""
        return replace(
            self,
            operations=self.operations.take(part.operations),
            calls=self.calls.take(part.calls),
            ranges=self.ranges.take(part.ranges),
            counters=self.counters.take(part.counters),
            collectives=self.collectives.take(part.collectives),
            meta=self.meta.replace(path=part.file, distributed=dict(part.distributed)),
            parts=(),
        )

    @cached_property
    def process_of_thread(self) -> Int64:
        """The process of each thread."""
        return np.array([thread.process for thread in self.threads], np.int64)

    @cached_property
    def process_of_device(self) -> Int64:
        """The process of each device."""
        return np.array([device.process for device in self.devices], np.int64)

    def threads_of(self, process: int) -> Bool:
        """Return for each thread whether it is of a process."""
        return np.asarray(self.process_of_thread == process, np.bool_)

    def calls_of(self, process: int) -> Bool:
        """Return for each call whether a process made it."""
        return self.threads_of(process)[self.calls.thread]

    def operations_of(self, process: int) -> Bool:
        """Return for each operation whether it ran on a device as a process saw it."""
        owned = np.asarray(self.process_of_device == process, np.bool_)
        return owned[self.operations.device]

    def name_index(self, name: str) -> int:
        """Return the index of a name, or -1 where the trace does not hold it."""
        try:
            return self.names.index(name)
        except ValueError:
            return -1
