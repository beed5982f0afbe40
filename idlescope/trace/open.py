"""Open a trace whatever its format, told from its content rather than its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace import kineto, recording
from idlescope.trace.model import Trace

SQLITE_MAGIC = b"SQLite format 3\x00"


def open_trace(path: str | Path, progress: Callable[[int], None] | None = None) -> Trace:
    """Return the Trace in a file or folder: a Kineto JSON (`.json`, `.json.gz`) or a recording of `idlescope run`.

    `progress` is called with the number of events read so far. Raises TraceError, one clear sentence, where there is
    no such file or it is none of these.
    """
    path = Path(path)
    if not path.exists():
        raise TraceError(f"{path} does not exist: give the path of a trace file or of a recording's folder")
    if path.is_dir():
        if (path / "meta.json").is_file():
            return recording.read(path)
        raise TraceError(f"{path} is a folder without a recording in it (no meta.json): give one trace file")
    try:
        with path.open("rb") as file:
            magic = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not magic:
        raise TraceError(f"{path} is empty: was the profiler stopped before the trace was written?")
    if magic == SQLITE_MAGIC:
        raise TraceError(
            f"{path} is an SQLite file: Nsight Systems exports are not read yet, give a torch.profiler trace"
        )
    return kineto.read(path, progress)
