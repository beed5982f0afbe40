"""Tell rocprofv3's files from others, without importing what reads them."""

from __future__ import annotations

import re
from pathlib import Path

from idlescope.trace.sqlite.recognise import tables_of

# followed by the UUID of the process that wrote them
TABLES = ("rocpd_kernel_dispatch_", "rocpd_info_agent_", "rocpd_region_")
DOCUMENT = re.compile(rb'\A\s*\{\s*"rocprofiler-sdk-tool"\s*:')


def is_rocpd(path: Path, head: bytes) -> bool:
    """Return whether a file is a rocpd database, from its first bytes and its tables."""
    return any(table.startswith(TABLES) for table in tables_of(path, head))


def is_json(_path: Path, head: bytes) -> bool:
    """Return whether a file is rocprofv3's JSON, from its first bytes."""
    return DOCUMENT.match(head) is not None
