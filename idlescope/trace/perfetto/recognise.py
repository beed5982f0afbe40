"""Tell Perfetto's protobuf traces from other files."""

from __future__ import annotations

import re
from pathlib import Path

_BINARY = re.compile(rb"[\x00-\x08]")


def is_perfetto(_path: Path, head: bytes) -> bool:
    """Return whether a file may be a Perfetto trace: packets, field 1 of trace.proto.

    XLA's profiles begin alike, and are to be told before.
    """
    return head.startswith(b"\n") and _BINARY.search(head) is not None
