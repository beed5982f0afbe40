"""Tell XLA's profiles from other files, without importing what reads them."""

from __future__ import annotations

import re
from pathlib import Path

# xplane.proto: XSpace.planes is field 1, XPlane.name field 2
_PLANE = re.compile(rb"\x12[\x00-\x7f](/host:|/device:|Task Environment)")
_BINARY = re.compile(rb"[\x00-\x08]")
# xla/tsl/profiler/convert/trace_events_to_json.cc
_PROCESS = re.compile(rb'"name"\s*:\s*"/(host:CPU|host:metadata|device:[A-Z]+:\d+)')
SESSIONS = ("plugins", "profile")  # where TensorBoard looks for them, within a log folder


def is_xplane(_path: Path, head: bytes) -> bool:
    """Return whether a file is an XSpace message, from its first bytes."""
    return (
        head.startswith(b"\n")
        and _BINARY.search(head) is not None
        and _PLANE.search(head) is not None
    )


def is_json(_path: Path, head: bytes) -> bool:
    """Return whether a file is XLA's JSON, from its first bytes."""
    return head.lstrip()[:1] == b"{" and _PROCESS.search(head) is not None


def is_log_folder(path: Path, _head: bytes) -> bool:
    """Return whether a folder is what jax.profiler.trace was given."""
    return path.joinpath(*SESSIONS).is_dir()
