"""Files of tools that are not read yet: told by their content, named before they are read.

Each would else be refused as a damaged torch.profiler trace, or read as one without a device.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from idlescope.errors import TraceError

# what a folder may hold that has no such file; its endings are in README.md
READ_TOOLS = (
    "files of torch.profiler (.json, .json.gz), Nsight Systems (.sqlite), rocprofv3, RPD, XLA, "
    "Perfetto, Ascend or Dynamo, packed or not (all endings: idlescope/trace/README.md)"
)
BY_TORCH = "record with torch.profiler (ProfilerActivity.CUDA is for AMD's GPUs, too)"


@dataclass(frozen=True)
class Sample:
    """What is looked at of a file."""

    head: bytes  # its first bytes, unpacked where it is a gzip file

    def has(self, pattern: bytes) -> bool:
        """Return whether a regular expression is found in it."""
        return re.search(pattern, self.head) is not None


@dataclass(frozen=True)
class OtherTool:
    """A kind of file that is not read, and what to give instead."""

    title: str
    recognises: Callable[[Sample], bool]
    instead: str


def refuse(path: Path, head: bytes) -> None:
    """Raise TraceError, one sentence with what to do instead, for a file of a tool not read yet.

    `head` are the file's first bytes, unpacked where it is a gzip file.
    """
    sample = Sample(head)
    for other_tool in OTHER_TOOLS:
        if other_tool.recognises(sample):
            raise TraceError(
                f"{path} is {other_tool.title}, which is not read yet: {other_tool.instead}"
            )


def _is_rpd_json(sample: Sample) -> bool:
    # rpd2tracing.py writes an empty first event, and every number as text
    return sample.has(
        rb'^\s*(\{\s*"traceEvents"\s*:\s*)?\[\s*\{\s*\}\s*,\s*\{\s*"name"\s*:'
    )


def _is_json_lines(sample: Sample) -> bool:
    # a whole object on the first line, and another on the next; two Kineto traces, one behind the
    # other, look so, too, and the first of them is read
    is_kineto = sample.has(rb'"traceEvents"\s*:\s*\[')
    return not is_kineto and sample.has(rb"\A\s*\{[^\n]*\}\r?\n\{")


OTHER_TOOLS: tuple[OtherTool, ...] = (
    OtherTool(
        "a Chrome trace that was made of an RPD trace",
        _is_rpd_json,
        "give the .rpd file that it was made of, which holds the calls that launched what",
    ),
    OtherTool(
        "an archive (7z)",
        lambda sample: sample.head.startswith(b"7z\xbc\xaf\x27\x1c"),
        "unpack it, and give the trace, or the folder of ranks, that is in it",
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
