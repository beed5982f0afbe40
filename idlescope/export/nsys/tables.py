"""The rows of each table of an Nsight Systems export, from a Trace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idlescope.export.nsys.identifiers import (
    global_pid,
    global_tid,
    gpu_key,
    gpu_numbers,
    stream_numbers,
)
from idlescope.export.nsys.schema import (
    COPY_KINDS,
    EXPORT,
    MEMORY_KINDS,
    PUSH_POP,
    START_END,
    VIRTUAL_MACHINE,
    WARNING_SEVERITY,
)
from idlescope.export.perfetto import lanes
from idlescope.export.processes import pids, process_names
from idlescope.trace.interner import Interner
from idlescope.trace.model import OperationKind, RangeKind, Trace

# A copy's name in Kineto's form, "Memcpy HtoD (Pinned -> Device)": direction, source, target.
COPY_NAME = re.compile(r"\b([HDAP]to[HDAP])\b(?: \((\w+) -> (\w+)\))?")
DRIVER_CALL = re.compile(r"^cu[A-Z]")  # calls of the runtime begin with "cuda"
Row = tuple[Any, ...]
Rows = Iterator[Row]


class Tables:
    """The rows of each table of one trace, in the columns of SCHEMA."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._strings: Interner[str] = Interner()
        self._name_ids = [self._strings.code(name) for name in trace.names]
        self._pids = pids(trace)
        device_pids = [global_pid(self._pids[device.process]) for device in trace.devices]
        thread_tids = [
            global_tid(self._pids[thread.process], index)
            for index, thread in enumerate(trace.threads)
        ]
        self._device_pid = np.array(device_pids, np.int64)
        self._thread_tid = np.array(thread_tids, np.int64)
        self._stream_number = np.array(stream_numbers(trace.streams), np.int64)

    def rows(self, table: str) -> Rows:
        """Return the rows of a table of SCHEMA; of StringIds last, which the others fill."""
        makers: dict[str, Callable[[], Rows]] = {
            "CUPTI_ACTIVITY_KIND_KERNEL": self._kernels,
            "CUPTI_ACTIVITY_KIND_MEMCPY": self._copies,
            "CUPTI_ACTIVITY_KIND_MEMSET": self._memsets,
            "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": self._graphs,
            "CUPTI_ACTIVITY_KIND_RUNTIME": self._calls,
            "NVTX_EVENTS": self._ranges,
            "PROFILER_OVERHEAD": self._overhead,
            "DIAGNOSTIC_EVENT": self._warnings,
            "ThreadNames": self._threads,
            "PROCESSES": self._processes,
            "TARGET_INFO_GPU": self._gpus,
            "TARGET_INFO_CUDA_DEVICE": self._devices,
            "META_DATA_EXPORT": lambda: iter(EXPORT.items()),
            "StringIds": lambda: iter(enumerate(self._strings.values())),
        }
        return makers[table]()

    def _kernels(self) -> Rows:
        for *place, name, _ in self._operations(OperationKind.KERNEL):
            name_id = self._name_ids[name]
            yield *place, name_id, name_id, name_id

    def _copies(self) -> Rows:
        for *place, name, moved in self._operations(OperationKind.MEMCPY):
            found = COPY_NAME.search(self._trace.names[name])
            direction, source, target = found.groups() if found else ("", "", "")
            copy_kind = COPY_KINDS.get(direction, 0)
            yield *place, moved, copy_kind, MEMORY_KINDS.get(source), MEMORY_KINDS.get(target)

    def _memsets(self) -> Rows:
        for *place, _, moved in self._operations(OperationKind.MEMSET):
            yield *place, 0, moved

    def _graphs(self) -> Rows:
        for *place, _, _ in self._operations(OperationKind.GRAPH):
            yield *place, None, None

    def _operations(self, kind: OperationKind) -> Rows:
        """Yield the columns of ON_DEVICE, the name and the bytes of each operation of a kind."""
        every = self._trace.operations
        operations = every.take(every.kind == kind)
        device_index = np.array([device.index for device in self._trace.devices], np.int64)
        context = np.ones_like(device_index)  # a Trace knows no contexts: one for each process
        return _rows(
            operations.start,
            operations.end,
            device_index[operations.device],
            context[operations.device],
            self._stream_number[operations.stream],
            operations.correlation,
            self._device_pid[operations.device],
            operations.name,
            operations.bytes,
        )

    def _calls(self) -> Rows:
        calls = self._trace.calls
        is_driver_call = [bool(DRIVER_CALL.match(name)) for name in self._trace.names]
        thread_tid = self._thread_tid[calls.thread]
        rows = _rows(calls.start, calls.end, thread_tid, calls.name, calls.correlation)
        for start, end, tid, name, correlation in rows:
            event_class = int(is_driver_call[name])
            shared_id = correlation or None
            yield start, end, event_class, tid, shared_id, self._name_ids[name], 0, None

    def _ranges(self) -> Rows:
        """Yield annotations and operators.

        Ranges that a thread pushes and pops nest; the others can only have been started and ended.
        Operators have the text that PyTorch's `emit_nvtx` gives them.
        """
        every = self._trace.ranges
        ranges = every.take(every.kind <= RangeKind.OPERATOR)
        lane = lanes.by_group(ranges.start, ranges.end, ranges.thread.astype(np.int64))
        thread_tid = self._thread_tid[ranges.thread]
        rows = _rows(ranges.start, ranges.end, thread_tid, ranges.name, ranges.kind, lane)
        for number, (start, end, tid, name, kind, lane_index) in enumerate(rows):
            nested = (PUSH_POP, None, None)  # type, id of the range, thread that ended it
            started = (START_END, number + 1, tid)
            event_type, range_id, end_tid = started if lane_index else nested
            text = text_id = None
            if kind == RangeKind.OPERATOR:
                text = f"{self._trace.names[name]}, op_id = {number}"
            else:
                text_id = self._name_ids[name]
            yield start, end, event_type, range_id, text, tid, end_tid, text_id, 0

    def _overhead(self) -> Rows:
        every = self._trace.ranges
        ranges = every.take(every.kind == RangeKind.OVERHEAD)
        thread_tid = self._thread_tid[ranges.thread]
        for start, end, tid, name in _rows(ranges.start, ranges.end, thread_tid, ranges.name):
            yield start, end, tid, self._name_ids[name], None

    def _warnings(self) -> Rows:
        """Yield what the profiler said that it lost, and what was lost in reading."""
        meta = self._trace.meta
        texts = list(meta.dropped)
        if meta.lost or meta.truncated:
            texts += [f"records were lost: {warning}" for warning in meta.warnings]
        for text in texts:
            yield 0, 0, 0, WARNING_SEVERITY, text, None

    def _threads(self) -> Rows:
        for thread, tid in zip(self._trace.threads, self._thread_tid.tolist(), strict=True):
            yield self._strings.code(thread.label), None, tid

    def _processes(self) -> Rows:
        for process, name in process_names(self._trace).items():
            pid = self._pids[process]
            yield global_pid(pid), pid, name or None

    def _gpus(self) -> Rows:
        for number, device in gpu_numbers(self._trace.devices):
            identity = device.identity or None
            yield VIRTUAL_MACHINE, number, device.name, identity, device.index

    def _devices(self) -> Rows:
        devices = self._trace.devices
        numbers = {gpu_key(device): number for number, device in gpu_numbers(devices)}
        for device in devices:
            number, pid = numbers[gpu_key(device)], self._pids[device.process]
            yield number, device.index, pid, device.identity or None


def _rows(*columns: NDArray[np.generic]) -> Rows:
    return zip(*(column.tolist() for column in columns), strict=True)
