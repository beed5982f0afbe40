"""The JSON that rocprofv3 writes (`--output-format json`), as far as it is read.

Names are those of source/lib/output/generateJSON.cpp of rocprofiler-sdk, and of the records that
rocprofiler-sdk/cxx/serialization.hpp describes. Times are nanoseconds.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Signed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
GPU = 2  # rocprofiler_agent_type_t: ROCPROFILER_AGENT_TYPE_GPU


class Handle(Struct, gc=False, frozen=True):
    """An opaque id."""

    handle: Signed = 0


class Correlation(Struct, gc=False, frozen=True):
    """Ids of a record: that of the call, and one that a program may push."""

    internal: Signed = 0


class Record(Struct, gc=False, frozen=True):
    """A call of an API, or a marker."""

    start_timestamp: Signed
    end_timestamp: Signed
    kind: Signed = 0  # index into Strings.buffer_records
    operation: Signed = 0  # index into its operations
    thread_id: Signed = 0
    correlation_id: Correlation = Correlation()


class Dispatch(Struct, gc=False, frozen=True):
    """Where a kernel ran, and which it is."""

    kernel_id: Signed
    agent_id: Handle = Handle()
    queue_id: Handle = Handle()


class Kernel(Record, gc=False, kw_only=True, frozen=True):
    """A kernel that ran."""

    dispatch_info: Dispatch
    stream_id: Handle | None = None


class Copy(Record, gc=False, kw_only=True, frozen=True):
    """A copy that a copy engine made."""

    dst_agent_id: Handle = Handle()
    src_agent_id: Handle = Handle()
    stream_id: Handle | None = None
    bytes: Signed = 0


class BufferRecords(Struct, frozen=True):
    """All records, by what they are of."""

    kernel_dispatch: list[Kernel] = []
    memory_copy: list[Copy] = []
    hip_api: list[Record] = []
    hsa_api: list[Record] = []
    marker_api: list[Record] = []
    rccl_api: list[Record] = []
    rocdecode_api: list[Record] = []
    rocjpeg_api: list[Record] = []


class Names(Struct, frozen=True):
    """The name of a kind of record, and those of its operations."""

    kind: str = ""
    operations: list[str] = []


class Message(Struct, frozen=True):
    """The text of the marker that has a correlation id."""

    key: Signed
    value: str


class Strings(Struct, frozen=True):
    """Texts that records refer to."""

    buffer_records: list[Names] = []
    marker_api: list[Message] = []


class Symbol(Struct, frozen=True):
    """A kernel's names."""

    kernel_id: Signed = 0
    kernel_name: str = ""
    formatted_kernel_name: str = ""


class Agent(Struct, frozen=True):
    """A processor."""

    id: Handle = Handle()
    type: Signed = 0
    logical_node_type_id: Signed = 0  # number among processors of its type
    product_name: str = ""
    name: str = ""
    gpu_id: Signed = 0


class ProcessFacts(Struct, frozen=True):
    """What is said of the process that was recorded."""

    pid: Signed = 0


class Process(Struct, frozen=True):
    """What was recorded of one process."""

    metadata: ProcessFacts = ProcessFacts()
    agents: list[Agent] = []
    strings: Strings = Strings()
    kernel_symbols: list[Symbol] = []
    buffer_records: BufferRecords = BufferRecords()


class Document(Struct, frozen=True, rename={"processes": "rocprofiler-sdk-tool"}):
    """A whole file."""

    processes: list[Process] | Process
