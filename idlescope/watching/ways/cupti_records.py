"""What CUPTI's activity records hold, taken out of its buffers as columns.

Records stand one behind the other, each as long as its kind is in this version of CUPTI. Only the
walk from record to record is in Python (0.1 us each); everything else is done to all at once.
What is read stands at the same place in every version since CUDA 11 (cupti_activity.h and
cupti_activity_deprecated.h: new fields come at the end).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idlescope.trace.model import OperationKind
from idlescope.trace.table import Bool, Int64

# CUpti_ActivityKind
MEMCPY, MEMSET, DRIVER, RUNTIME, CONCURRENT_KERNEL = 1, 2, 4, 5, 10
KERNEL, GRAPH_TRACE = 3, 51


class Layout(NamedTuple):
    """Where a kind of record holds what is read of it, in bytes from its start."""

    start: int
    end: int
    correlation: int
    device: int = -1  # -1: it has none
    stream: int = -1
    name: int = -1  # a pointer
    operation: OperationKind = OperationKind.KERNEL


_KERNEL = Layout(16, 24, 92, 40, 48, 104)
OPERATION_LAYOUTS = {
    KERNEL: _KERNEL,
    CONCURRENT_KERNEL: _KERNEL,
    MEMCPY: Layout(16, 24, 44, 32, 40, operation=OperationKind.MEMCPY),
    MEMSET: Layout(16, 24, 44, 32, 40, operation=OperationKind.MEMSET),
    GRAPH_TRACE: Layout(8, 16, 4, 24, 36, operation=OperationKind.GRAPH),
}
_CALL = Layout(8, 16, 32)
CALL_LAYOUTS = {RUNTIME: _CALL, DRIVER: _CALL}

# Finds how long records of a kind are: the bytes from one of them, which stands here, to the next.
SizeOf = Callable[[int], int]
Offsets = dict[int, list[int]]


class DeviceRecords(NamedTuple):
    """Operations: columns of one row each, times on CUPTI's clock."""

    kind: Int64  # OperationKind
    device: Int64
    stream: Int64
    name: Int64  # where the kernel's name stands in memory; 0: it has none
    correlation: Int64
    start: Int64
    end: Int64

    @property
    def timed(self) -> Bool:
        """Return which operations have times: CUPTI may have had none to give."""
        return np.asarray((self.start > 0) & (self.end >= self.start), np.bool_)

    def only(self, rows: Bool) -> DeviceRecords:
        """Return these rows."""
        return DeviceRecords(*(column[rows] for column in self))


class CallRecords(NamedTuple):
    """API calls: columns of one row each, times on CUPTI's clock."""

    correlation: Int64
    start: Int64
    end: Int64


class RecordSizes:
    """How long the records of each kind are, found out when one is first met."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    def offsets(self, buffer: NDArray[np.uint8], valid: int, size_of: SizeOf) -> Offsets:
        """Return where the records of each kind stand in the first `valid` bytes of a buffer."""
        kinds = memoryview(buffer).cast("I")  # type: ignore[arg-type]
        sizes = self._sizes
        found: Offsets = {}
        offset = 0
        while offset < valid:
            kind = kinds[offset >> 2]
            size = sizes.get(kind)
            if size is None:
                size = size_of(offset)
                if size <= 0:  # nothing follows: it may be longer than what is left
                    size = valid - offset
                else:
                    sizes[kind] = size
            found.setdefault(kind, []).append(offset)
            offset += size
        return found


def device_records(buffer: NDArray[np.uint8], offsets: Offsets) -> DeviceRecords:
    """Return the operations among the records of a buffer."""
    parts = [
        _operations(buffer, np.array(offsets[kind], np.int64), layout)
        for kind, layout in OPERATION_LAYOUTS.items()
        if kind in offsets
    ]
    return joined_operations(parts)


def call_records(buffer: NDArray[np.uint8], offsets: Offsets) -> CallRecords:
    """Return the API calls among the records of a buffer."""
    parts = []
    for kind, layout in CALL_LAYOUTS.items():
        record = np.array(offsets.get(kind, ()), np.int64)
        correlation = _narrow(buffer, record + layout.correlation)
        start = _wide(buffer, record + layout.start)
        end = _wide(buffer, record + layout.end)
        parts.append(CallRecords(correlation, start, end))
    return joined_calls(parts)


def joined_operations(parts: list[DeviceRecords]) -> DeviceRecords:
    """Return the rows of all parts."""
    empty = DeviceRecords(*[np.empty(0, np.int64)] * len(DeviceRecords._fields))
    columns = zip(empty, *parts, strict=True)
    return DeviceRecords(*(np.concatenate(pieces) for pieces in columns))


def joined_calls(parts: list[CallRecords]) -> CallRecords:
    """Return the rows of all parts."""
    empty = CallRecords(*[np.empty(0, np.int64)] * len(CallRecords._fields))
    columns = zip(empty, *parts, strict=True)
    return CallRecords(*(np.concatenate(pieces) for pieces in columns))


def _operations(buffer: NDArray[np.uint8], record: Int64, layout: Layout) -> DeviceRecords:
    if layout.name < 0:
        name = np.zeros(record.size, np.int64)
    else:
        name = _wide(buffer, record + layout.name)
    return DeviceRecords(
        kind=np.full(record.size, layout.operation.value),
        device=_narrow(buffer, record + layout.device),
        stream=_narrow(buffer, record + layout.stream),
        name=name,
        correlation=_narrow(buffer, record + layout.correlation),
        start=_wide(buffer, record + layout.start),
        end=_wide(buffer, record + layout.end),
    )


def _narrow(buffer: NDArray[np.uint8], place: Int64) -> Int64:
    """Return the 32-bit integers that stand at these places."""
    return buffer.view(np.uint32)[place >> 2].astype(np.int64)


def _wide(buffer: NDArray[np.uint8], place: Int64) -> Int64:
    """Return the 64-bit integers that stand at these places: records begin at multiples of 8."""
    return buffer.view(np.int64)[place >> 3]
