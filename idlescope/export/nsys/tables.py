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
            global_tid(self._pids[thread.process], thread_index)
            for thread_index, thread in enumerate(trace.threads)
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
        for *operation_place, name_code, _ in self._operations(OperationKind.KERNEL):
            name_id = self._name_ids[name_code]
            yield *operation_place, name_id, name_id, name_id

    def _copies(self) -> Rows:
        for *operation_place, name_code, moved_bytes in self._operations(
            OperationKind.MEMCPY
        ):
            copied_kind = COPY_NAME.search(self._trace.names[name_code])
            direction, source, target = (
                copied_kind.groups() if copied_kind else ("", "", "")
            )
            copy_kind = COPY_KINDS.get(direction, 0)
            yield (
                *operation_place,
                moved_bytes,
                copy_kind,
                MEMORY_KINDS.get(source),
                MEMORY_KINDS.get(target),
            )

    def _memsets(self) -> Rows:
        for *operation_place, _, moved_bytes in self._operations(OperationKind.MEMSET):
            yield *operation_place, 0, moved_bytes

    def _graphs(self) -> Rows:
        for *operation_place, _, _ in self._operations(OperationKind.GRAPH):
            yield *operation_place, None, None

    def _operations(self, kind: OperationKind) -> Rows:
        """Yield the columns of ON_DEVICE, the name and the bytes of each operation of a kind."""
        operation_table = self._trace.operations
        operations = operation_table.take(operation_table.kind == kind)
        device_index = np.array([device.index for device in self._trace.devices], np.int64)
        context = np.ones_like(
            device_index
        )  # a Trace knows no contexts: one for each process
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
        call_table = self._trace.calls
        is_driver_call = [
            bool(DRIVER_CALL.match(name_code)) for name_code in self._trace.names
        ]
        thread_tid = self._thread_tid[call_table.thread]
        call_rows = _rows(
            call_table.start,
            call_table.end,
            thread_tid,
            call_table.name,
            call_table.correlation,
        )
        for slice_start, slice_end, thread_id, name_code, correlation in call_rows:
            event_class = int(is_driver_call[name_code])
            shared_id = correlation or None
            yield (
                slice_start,
                slice_end,
                event_class,
                thread_id,
                shared_id,
                self._name_ids[name_code],
                0,
                None,
            )

    def _ranges(self) -> Rows:
        """Yield annotations and operators.

        Ranges that a thread pushes and pops nest; the others can only have been started and ended.
        Operators have the text that PyTorch's `emit_nvtx` gives them.
        """
        range_table = self._trace.ranges
        ranges = range_table.take(range_table.kind <= RangeKind.OPERATOR)
        range_lane = lanes.by_group(
            ranges.start, ranges.end, ranges.thread.astype(np.int64)
        )
        thread_tid = self._thread_tid[ranges.thread]
        range_rows = _rows(
            ranges.start, ranges.end, thread_tid, ranges.name, ranges.kind, range_lane
        )
        for number, (
            slice_start,
            slice_end,
            thread_id,
            name_code,
            kind_code,
            lane_index,
        ) in enumerate(range_rows):
            nested = (PUSH_POP, None, None)  # type, id of the range, thread that ended it
            started = (START_END, number + 1, thread_id)
            event_type, range_id, end_tid = started if lane_index else nested
            range_text = text_id = None
            if kind_code == RangeKind.OPERATOR:
                range_text = f"{self._trace.names[name_code]}, op_id = {number}"
            else:
                text_id = self._name_ids[name_code]
            yield (
                slice_start,
                slice_end,
                event_type,
                range_id,
                range_text,
                thread_id,
                end_tid,
                text_id,
                0,
            )

    def _overhead(self) -> Rows:
        range_table = self._trace.ranges
        ranges = range_table.take(range_table.kind == RangeKind.OVERHEAD)
        thread_tid = self._thread_tid[ranges.thread]
        for slice_start, slice_end, thread_id, name_code in _rows(
            ranges.start, ranges.end, thread_tid, ranges.name
        ):
            yield slice_start, slice_end, thread_id, self._name_ids[name_code], None

    def _warnings(self) -> Rows:
        """Yield what the profiler said that it lost, and what was lost in reading."""
        metadata = self._trace.meta
        warning_texts = list(metadata.dropped)
        if metadata.lost or metadata.truncated:
            warning_texts += [
                f"records were lost: {warning}" for warning in metadata.warnings
            ]
        for warning_text in warning_texts:
            yield 0, 0, 0, WARNING_SEVERITY, warning_text, None

    def _threads(self) -> Rows:
        for thread, thread_id in zip(
            self._trace.threads, self._thread_tid.tolist(), strict=True
        ):
            yield self._strings.code(thread.label), None, thread_id

    def _processes(self) -> Rows:
        for process, process_name in process_names(self._trace).items():
            process_id = self._pids[process]
            yield global_pid(process_id), process_id, process_name or None

    def _gpus(self) -> Rows:
        for number, device in gpu_numbers(self._trace.devices):
            identity = device.identity or None
            yield VIRTUAL_MACHINE, number, device.name, identity, device.index

    def _devices(self) -> Rows:
        devices = self._trace.devices
        numbers = {gpu_key(device): number for number, device in gpu_numbers(devices)}
        for device in devices:
            number, process_id = numbers[gpu_key(device)], self._pids[device.process]
            yield number, device.index, process_id, device.identity or None


def _rows(*columns: NDArray[np.generic]) -> Rows:
    return zip(*(column.tolist() for column in columns), strict=True)
