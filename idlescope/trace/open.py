"""Open a trace whatever its format, told from its content rather than its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace import ranks_folder
from idlescope.trace.kineto import reader
from idlescope.trace.model import Trace
from idlescope.trace.nsys import reader as nsys
from idlescope.trace.nsys import report_file
from idlescope.trace.recording import files as recording

SQLITE_MAGIC = b"SQLite format 3\x00"
Progress = Callable[[int], None]


def open_trace(
    path: str | Path,
    progress: Progress | None = None,
    *,
    frames: bool = True,
    only: Sequence[Path] | None = None,
) -> Trace:
    """Return the Trace in a file or folder.

    A Kineto JSON (`.json`, `.json.gz`), an Nsight Systems export (SQLite or Parquet folder) or report (`.nsys-rep`,
    exported with `nsys` where it is there), a recording of `idlescope run`, or a folder of such traces, one a rank; of
    this folder, `only` these where they are given.
    `progress` is called with the number of events read so far. Without `frames`, operators and Python frames are left
    out. Raises TraceError, one clear sentence, where there is no such file or it is none of these.
    """
    path = Path(path)
    if not path.exists():
        raise TraceError(
            f"{path} does not exist: give the path of a trace file, of an export or of a folder of them"
        )
    if not path.is_dir():
        return _open_file(path, progress, frames)
    if only is None and (path / "meta.json").is_file():
        return recording.read(path)
    if only is None and nsys.is_parquet_export(path):
        return nsys.read(path, progress, frames)
    traces: list[Trace] = []
    files: list[Path] = []
    errors: dict[Path, TraceError] = {}
    for file in ranks_folder.files(path) if only is None else only:
        before = sum(t.meta.events for t in traces)
        counted = partial(_count, progress, before) if progress is not None else None
        try:
            traces.append(open_trace(file, counted, frames=frames))
            files.append(file)
        except TraceError as error:  # such as a configuration that ends in .json, too
            errors[file] = error
    if not traces:
        raise next(iter(errors.values()))
    left_out = [
        f"{file.name} was left out: {str(e).removeprefix(f'{file} ')}" for file, e in errors.items()
    ]
    return ranks_folder.merge(path, files, traces, left_out)


def _count(progress: Progress, before: int, events: int) -> None:
    progress(before + events)


def _open_file(path: Path, progress: Progress | None, frames: bool) -> Trace:
    if not path.is_file():  # a pipe or a device: reading it could wait for ever, or never end
        raise TraceError(
            f"{path} is not a file: give the path of a trace file, of an export or of a folder of them"
        )
    try:
        with path.open("rb") as file:
            magic = file.read(64)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not magic:
        raise TraceError(f"{path} is empty: was the profiler stopped before the trace was written?")
    if magic.startswith(SQLITE_MAGIC):
        return nsys.read(path, progress, frames)
    if report_file.is_report(path, magic):
        return report_file.open_report(path, progress, frames)
    return reader.read(path, progress, frames)
