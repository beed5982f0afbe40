"""Open what is in a packed file or an archive: a trace, or a folder of ranks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.containers.recognise import packing_of
from idlescope.trace.containers.unpack import unpack
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.scrub.counts import Scrubbed

MOST_NESTED = 4  # a packed trace in a packed archive of a packed folder, and one more
_WITHIN = ".idlescope-unpacked-"  # of the names of folders that things are unpacked into
_HEAD_BYTES = 512


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of what is in a packed file, called by the name of the file.

    It is unpacked into a temporary folder, which is removed afterwards.

    Raises TraceError where it cannot be unpacked, or holds no trace.
    """
    if sum(part.startswith(_WITHIN) for part in path.parts) >= MOST_NESTED:
        raise TraceError(f"{path} is packed over {MOST_NESTED} times: unpack it yourself")
    with path.open("rb") as packed_file:
        packing = packing_of(packed_file.read(_HEAD_BYTES))
    assert packing is not None  # else another reader was asked
    # within each other, so that what is packed too often is told
    place = path.parent if _is_within(path) else None
    with tempfile.TemporaryDirectory(prefix=_WITHIN, dir=place) as folder:
        inside = unpack(path, packing, Path(folder))
        try:
            opened = open_trace(inside, progress, frames=frames)
        except TraceError as error:
            raise TraceError(_called(str(error), inside, path)) from error
    warnings = [_called(warning, inside, path) for warning in opened.meta.warnings]
    return replace(
        opened, meta=opened.meta.replace(path=str(path), warnings=tuple(warnings))
    )


def refuse(
    source: Path,
    _target: Path,
    _result: Scrubbed,
    _progress: Callable[[int], None] | None = None,
) -> None:
    """Raise TraceError: a copy has the format of the trace, which a packed file has not."""
    raise TraceError(f"{source} is packed: unpack it, and scrub what is in it")


def _is_within(path: Path) -> bool:
    return any(part.startswith(_WITHIN) for part in path.parts)


def _called(text: str, inside: Path, path: Path) -> str:
    """Return a message with the name of the packed file for that of what was unpacked of it."""
    return text.replace(str(inside), str(path))
