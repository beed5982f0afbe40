"""Files of tools that are not read yet: told by their content, named before they are read.

Each would else be refused as a damaged torch.profiler trace, or read as one without a device.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.nsys.recognise import SQLITE_MAGIC

GZIP_MAGIC = b"\x1f\x8b"
UNPACKED_BYTES = 1 << 16  # of a gzip file: what is looked at
PACKED_BYTES = 1 << 15

BY_TORCH = "record with torch.profiler (ProfilerActivity.CUDA is for AMD's GPUs, too)"
BY_NSYS = (
    "on an NVIDIA GPU record with `nsys profile --trace=cuda,nvtx`, which sees programs of any "
    "framework, and give the .nsys-rep"
)


@dataclass(frozen=True)
class Sample:
    """What is looked at of a file."""

    path: Path
    head: bytes  # its first bytes
    text: bytes  # the same, unpacked where it is a gzip file

    def has(self, pattern: bytes) -> bool:
        """Return whether a regular expression is found in the text."""
        return re.search(pattern, self.text) is not None

    @property
    def is_binary(self) -> bool:
        """Return whether the text has bytes that no JSON has."""
        return re.search(rb"[\x00-\x08]", self.text) is not None


@dataclass(frozen=True)
class OtherTool:
    """A kind of file that is not read, and what to give instead."""

    title: str
    recognises: Callable[[Sample], bool]
    instead: str


def refuse(path: Path, head: bytes) -> None:
    """Raise TraceError, one sentence with what to do instead, for a file of a tool not read yet.

    `head` are the file's first bytes.
    """
    sample = Sample(path, head, _unpacked(path, head))
    for other_tool in OTHER_TOOLS:
        if other_tool.recognises(sample):
            raise TraceError(
                f"{path} is {other_tool.title}, which is not read yet: {other_tool.instead}"
            )


def _unpacked(path: Path, head: bytes) -> bytes:
    if not head.startswith(GZIP_MAGIC):
        return head
    with path.open("rb") as packed_file:
        packed = packed_file.read(PACKED_BYTES)
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with the header of gzip
    try:
        return unpacking.decompress(packed, UNPACKED_BYTES)
    except zlib.error:  # the reader says where it is damaged
        return b""


def _tables(path: Path) -> frozenset[str]:
    """Return the names of the tables and views of an SQLite file; none where it is damaged."""
    try:
        database_uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(database_uri, uri=True)) as database:
            table_rows = database.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.Error:
        return frozenset()
    return frozenset(str(table_name) for (table_name,) in table_rows)


def _is_rpd(sample: Sample) -> bool:
    # tables: rocmProfileData, rpd_tracer/schema_data
    is_database = sample.head.startswith(SQLITE_MAGIC)
    return is_database and {"rocpd_api", "rocpd_op"} <= _tables(sample.path)


def _is_packed_rpd(sample: Sample) -> bool:
    return sample.text is not sample.head and sample.text.startswith(SQLITE_MAGIC)


def _is_rocpd(sample: Sample) -> bool:
    # rocprofiler-sdk puts a UUID behind the names of its tables, which views have without it
    if not sample.head.startswith(SQLITE_MAGIC):
        return False
    return any(table_name.startswith("rocpd_info_") for table_name in _tables(sample.path))


def _is_rpd_json(sample: Sample) -> bool:
    # rpd2tracing.py writes an empty first event, and every number as text
    return sample.has(
        rb'^\s*(\{\s*"traceEvents"\s*:\s*)?\[\s*\{\s*\}\s*,\s*\{\s*"name"\s*:'
    )


def _is_xplane(sample: Sample) -> bool:
    # tsl/profiler/protobuf/xplane.proto: XSpace.planes is field 1, XPlane.name field 2
    plane_names = rb"\x12[\x00-\x7f](/host:|/device:|Task Environment)"
    return sample.text.startswith(b"\n") and sample.is_binary and sample.has(plane_names)


def _is_perfetto(sample: Sample) -> bool:
    # perfetto/trace/trace.proto: Trace.packet is field 1
    return sample.text.startswith(b"\n") and sample.is_binary


def _is_jax(sample: Sample) -> bool:
    # tsl/profiler/convert/trace_events_to_json.cc
    return sample.has(rb'"name"\s*:\s*"/(host:CPU|host:metadata|device:[A-Z]+:\d+)')


def _is_tar(sample: Sample) -> bool:
    return sample.text[257:262] == b"ustar"


def _is_archive(sample: Sample) -> bool:
    magics = (
        b"PK\x03\x04",  # zip
        b"7z\xbc\xaf\x27\x1c",
        b"\xfd7zXZ\x00",  # xz
        b"\x28\xb5\x2f\xfd",  # zstd
        b"BZh",  # bzip2
        b"\x04\x22\x4d\x18",  # lz4
    )
    return sample.head.startswith(magics) or _is_tar(sample)


def _is_json_lines(sample: Sample) -> bool:
    # a whole object on the first line, and another on the next; two Kineto traces, one behind the
    # other, look so, too, and the first of them is read
    is_kineto = sample.has(rb'"traceEvents"\s*:\s*\[')
    return not is_kineto and sample.has(rb"\A\s*\{[^\n]*\}\r?\n\{")


OTHER_TOOLS: tuple[OtherTool, ...] = (
    OtherTool("a rocprofv3 result (rocpd, SQLite)", _is_rocpd, BY_TORCH),
    OtherTool("an RPD trace (rocmProfileData, SQLite)", _is_rpd, BY_TORCH),
    OtherTool(
        "a packed SQLite file", _is_packed_rpd, "unpack it with `gunzip`, and give that"
    ),
    OtherTool(
        "a rocprofv3 result (JSON)",
        lambda sample: sample.has(rb'\A\s*\{\s*"rocprofiler-sdk-tool"\s*:'),
        BY_TORCH,
    ),
    OtherTool("a Chrome trace that was made of an RPD trace", _is_rpd_json, BY_TORCH),
    OtherTool("an XLA profile (xplane.pb) of JAX or TensorFlow", _is_xplane, BY_NSYS),
    OtherTool("a trace of JAX's or TensorFlow's profiler", _is_jax, BY_NSYS),
    OtherTool(
        "a trace of Ascend's profiler",
        lambda sample: sample.has(rb'"name"\s*:\s*"Ascend Hardware"'),
        "NPUs are not known; of GPUs torch.profiler's traces and Nsight Systems' reports are read",
    ),
    OtherTool(
        "an archive",
        _is_archive,
        "unpack it, and give the trace, or the folder of ranks, that is in it",
    ),
    OtherTool(
        "a Perfetto trace (protobuf)",
        _is_perfetto,
        "give the torch.profiler JSON or the Nsight Systems report that it was made of",
    ),
    OtherTool(
        "an Nsight Compute report",
        lambda sample: sample.head.startswith(b"NVR\x00"),
        "it has single kernels without their time line; record one with "
        "`nsys profile --trace=cuda,nvtx`",
    ),
    OtherTool(
        "a pickle, such as a memory snapshot of PyTorch",
        lambda sample: re.match(rb"\x80[\x02-\x05]", sample.head) is not None,
        "it has allocations, not what a GPU did; " + BY_TORCH,
    ),
    OtherTool(
        "a request trace of NVIDIA Dynamo (JSON lines)",
        lambda sample: sample.has(rb"dynamo\.request\.trace"),
        "it has requests, not what a GPU did; capture a window with `idlescope capture`",
    ),
    OtherTool(
        "a file of JSON lines, such as logs and request traces",
        _is_json_lines,
        "record what the GPU did with torch.profiler or `nsys profile --trace=cuda,nvtx`",
    ),
)
