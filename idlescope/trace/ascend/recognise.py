"""Tell traces of Ascend's profiler from other files, without importing what reads them."""

from __future__ import annotations

import re
from pathlib import Path

_NAMES = re.compile(
    rb'"name"\s*:\s*"(?:Ascend Hardware|CANN|Overlap Analysis|AscendCL@|Node@launch|HostToDevice\d)'
)


def is_trace_view(_path: Path, head: bytes) -> bool:
    """Return whether a file is a trace_view.json, from its first bytes."""
    return head.lstrip()[:1] in (b"[", b"{") and _NAMES.search(head) is not None
