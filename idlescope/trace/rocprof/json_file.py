"""Read the JSON of rocprofv3 into a Trace.

A record shares its internal correlation id with the call that caused it. Its file is decoded as a
whole: one record takes a fifth of its text in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from idlescope.errors import TraceError
from idlescope.trace.gathered import Gathered, Gpu
from idlescope.trace.json_crowds import refuse_crowd
from idlescope.trace.model import Calls, OperationKind, Operations, RangeKind, Ranges, Trace
from idlescope.trace.names import rocm
from idlescope.trace.rocprof.categories import (
    NO_CALLS,
    RECORD_AGAIN,
    Group,
    group_of,
    range_of,
)
from idlescope.trace.rocprof.document import (
    GPU,
    Copy,
    Document,
    Handle,
    Kernel,
    Process,
    Record,
)
from idlescope.trace.table import Int32

ADVICE = RECORD_AGAIN.replace("rocpd", "json")


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a JSON file of rocprofv3.

    `progress` is called with the number of records read so far. Without `frames`, operators are
    left out.

    Raises TraceError for a file that is damaged, or holds no records.
    """
    gathered = Gathered(progress)
    for process in _processes(path):
        _Reading(process, gathered).run(frames)
    if not gathered.events:
        raise TraceError(f"{path} holds no kernels, copies or calls: {ADVICE}")
    if gathered.count(Operations) and not gathered.count(Calls):
        gathered.notes.append(NO_CALLS)
    return gathered.trace("rocprof", path)


def _processes(path: Path) -> Sequence[Process]:
    try:
        content = path.read_bytes()
        refuse_crowd(path, content)
        document = msgspec.json.decode(content, type=Document)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise TraceError(
            f"{path} is damaged ({error}): copy it again, or {ADVICE}"
        ) from error
    processes = document.processes
    return processes if isinstance(processes, list) else [processes]


class _Reading:
    """One pass over the records of one process."""

    def __init__(self, process: Process, gathered: Gathered) -> None:
        self._process = process
        self._gathered = gathered
        self._pid = str(process.metadata.pid)
        self._agents = {agent.id.handle: agent for agent in process.agents}
        self._messages = {
            message.key: message.value for message in process.strings.marker_api
        }

    def run(self, frames: bool) -> None:
        """Add all records."""
        records = self._process.buffer_records
        host_records = {
            name: getattr(records, name)
            for name in records.__struct_fields__
            if name.endswith("_api")
        }
        for name, rows in host_records.items():
            of_calls = [row for row in rows if self._group(row) is Group.CALL]
            self._add_calls(of_calls, f"{name} call")
            of_ranges = [row for row in rows if self._group(row) is Group.RANGE]
            self._add_ranges(of_ranges, f"{name} range", frames)
        self._add_kernels(records.kernel_dispatch)
        self._add_copies(
            [copy for copy in records.memory_copy if self._gpu_of(copy) is not None]
        )

    def _group(self, record: Record) -> Group:
        return group_of(self._category(record))

    def _category(self, record: Record) -> str:
        kinds = self._process.strings.buffer_records
        return kinds[record.kind].kind if 0 <= record.kind < len(kinds) else ""

    def _name(self, record: Record) -> str:
        """Return the name of the call that a record is of."""
        kinds = self._process.strings.buffer_records
        operations = kinds[record.kind].operations if 0 <= record.kind < len(kinds) else []
        is_known = 0 <= record.operation < len(operations)
        return operations[record.operation] if is_known else ""

    def _threads(self, records: Sequence[Record]) -> Int32:
        pid = self._pid
        return self._gathered.threads.codes(
            (pid, f"{pid}:{record.thread_id}") for record in records
        )

    def _add_calls(self, records: Sequence[Record], place: str) -> None:
        names = self._gathered.names
        table = Calls.of(
            start=[record.start_timestamp for record in records],
            end=[record.end_timestamp for record in records],
            thread=self._threads(records),
            name=names.codes(self._name(record) or "unknown call" for record in records),
            correlation=[record.correlation_id.internal for record in records],
        )
        self._gathered.add(table, place)

    def _add_ranges(self, records: Sequence[Record], place: str, frames: bool) -> None:
        said = [self._range(record) for record in records]
        table = Ranges.of(
            start=[record.start_timestamp for record in records],
            end=[record.end_timestamp for record in records],
            thread=self._threads(records),
            name=self._gathered.names.codes(name for name, _ in said),
            kind=[kind for _, kind in said],
            step=np.full(len(records), -1),
        )
        if not frames:
            detail = (RangeKind.OPERATOR, RangeKind.FRAME)
            table = table.take(~np.isin(table.kind, detail))
        self._gathered.add(table, place)

    def _range(self, record: Record) -> tuple[str, RangeKind]:
        message = self._messages.get(record.correlation_id.internal, "")
        return range_of(self._category(record), message or self._name(record))

    def _add_kernels(self, kernels: Sequence[Kernel]) -> None:
        names_of = {
            symbol.kernel_id: rocm.kernel_name(
                symbol.formatted_kernel_name or symbol.kernel_name
            )
            for symbol in self._process.kernel_symbols
        }
        kinds_of = {name: rocm.kernel_kind(name) for name in names_of.values()}
        names = [
            names_of.get(kernel.dispatch_info.kernel_id) or "kernel" for kernel in kernels
        ]
        table = self._operations(
            kernels,
            agents=[kernel.dispatch_info.agent_id.handle for kernel in kernels],
            streams=[_stream(kernel) for kernel in kernels],
            names=names,
            kinds=[kinds_of.get(name, OperationKind.KERNEL) for name in names],
        )
        self._gathered.add(table, "kernel_dispatch record")

    def _add_copies(self, copies: Sequence[Copy]) -> None:
        table = self._operations(
            copies,
            agents=[self._gpu_of(copy) or 0 for copy in copies],
            streams=[_named_stream(copy.stream_id) or "copies" for copy in copies],
            names=[rocm.copy_name(self._name(copy)) for copy in copies],
            kinds=[OperationKind.MEMCPY] * len(copies),
        )
        sizes = np.array([max(copy.bytes, 0) for copy in copies], np.int64)
        self._gathered.add(table.replace(bytes=sizes), "memory_copy record")

    def _operations(
        self,
        records: Sequence[Record],
        agents: Sequence[int],
        streams: Sequence[str],
        names: Sequence[str],
        kinds: Sequence[OperationKind],
    ) -> Operations:
        count = len(records)
        return Operations.of(
            start=[record.start_timestamp for record in records],
            end=[record.end_timestamp for record in records],
            kind=kinds,
            device=self._gathered.devices.codes(self._device(agent) for agent in agents),
            stream=self._gathered.streams.codes(streams),
            name=self._gathered.names.codes(names),
            correlation=[record.correlation_id.internal for record in records],
            step=np.full(count, -1),
            bytes=np.zeros(count),
            flops=np.zeros(count),
        )

    def _gpu_of(self, copy: Copy) -> int | None:
        """Return the agent of the GPU that a copy goes to, else comes from; None within a host."""
        sides = (copy.dst_agent_id.handle, copy.src_agent_id.handle)
        agents = self._agents
        known = [side for side in sides if side in agents and agents[side].type == GPU]
        unknown = [side for side in sides if side not in agents]
        return next(iter(known + unknown), None)

    def _device(self, agent_id: int) -> tuple[str, int]:
        agent = self._agents.get(agent_id)
        if agent is None:
            return self._pid, 0
        key = self._pid, max(0, min(agent.logical_node_type_id, 2**31 - 1))
        if key not in self._gathered.gpus:
            identity = str(agent.gpu_id) if agent.gpu_id else ""
            self._gathered.gpus[key] = Gpu(agent.product_name or agent.name, identity)
        return key


def _stream(kernel: Kernel) -> str:
    """Return what a kernel's stream is called; older files have only its hardware queue."""
    return (
        _named_stream(kernel.stream_id) or f"queue {kernel.dispatch_info.queue_id.handle}"
    )


def _named_stream(stream_id: Handle | None) -> str:
    return "" if stream_id is None else f"stream {stream_id.handle}"
