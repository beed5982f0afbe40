"""What the categories of rocprofiler-sdk's records are, in rocpd databases and in JSON.

They are the names of `rocprofiler_buffer_tracing_kind_t` (rocprofiler-sdk/fwd.h), without their
prefix. rocprofiler-systems writes categories of its own into rocpd, such as `python`.
"""

from __future__ import annotations

from enum import Enum, auto

from idlescope.trace.model import RangeKind
from idlescope.trace.names.operators import RangeText, range_text

RECORD_AGAIN = (
    "record again with `rocprofv3 --runtime-trace --output-format rocpd -- COMMAND`"
)
NO_CALLS = (
    "rocprofv3 recorded no calls of the host, as with --kernel-trace alone: why the device was "
    "idle cannot be told; record with --runtime-trace"
)

PYTHON = "python"
TORCH_PREFIX = "record_function:"  # of ranges that torch's roctx hooks write
UNNAMED = "unnamed range"


class Group(Enum):
    """Which table the records of a category go to."""

    CALL = auto()
    RANGE = auto()


def group_of(category: str) -> Group:
    """Return the table that records of a category go to."""
    return Group.CALL if category.startswith(("HIP_", "HSA_")) else Group.RANGE


def range_of(category: str, text: str) -> tuple[str, RangeKind]:
    """Return the name and kind of a range, given its category and text."""
    if category.lower() == PYTHON:
        return text, RangeKind.FRAME
    said: RangeText = range_text(text.removeprefix(TORCH_PREFIX) or UNNAMED)
    return said.text, RangeKind.OPERATOR if said.is_operator else RangeKind.ANNOTATION
