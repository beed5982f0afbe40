"""Tell Perfetto's protobuf traces from other files."""

from __future__ import annotations

import re
from pathlib import Path

_BINARY = re.compile(rb"[\x00-\x08]")
_JSON = re.compile(rb'\s*[\[{]\s*["{\]]')  # behind a line break, as damaged as it may be


def is_perfetto(_path: Path, head: bytes) -> bool:
    """Return whether a file may be a Perfetto trace: packets, field 1 of trace.proto.

    XLA's profiles begin alike, and are to be told before.
    """
    if not head.startswith(b"\n") or _JSON.match(head):
        return False
    return _BINARY.search(head) is not None
