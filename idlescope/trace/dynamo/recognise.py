"""Tell forward-pass metrics of NVIDIA Dynamo from other JSON lines."""

from __future__ import annotations

import re
from pathlib import Path

_SCHEMA = re.compile(rb'"schema"\s*:\s*"dynamo\.fpm\.trace\.v\d')


def is_forward_passes(_path: Path, head: bytes) -> bool:
    """Return whether a file is a trace of forward passes, from its first line."""
    first_line = head.partition(b"\n")[0]
    return first_line.lstrip()[:1] == b"{" and _SCHEMA.search(first_line) is not None
