"""Copy a trace without what tells who recorded it and where: only what is known to be harmless is copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace.kineto import scrub as kineto
from idlescope.trace.nsys import report_file
from idlescope.trace.nsys import scrub as nsys
from idlescope.trace.nsys.reader import is_parquet_export
from idlescope.trace.open import SQLITE_MAGIC
from idlescope.trace.recording import scrub as recording
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.whole_files import whole

__all__ = ["Scrubbed", "scrub"]


def scrub(
    source: Path, target: Path, force: bool = False, progress: Callable[[int], None] | None = None
) -> Scrubbed:
    """Write a copy of a trace, in its own format, that can be shared; the trace itself is only read.

    Environment, command lines, names of hosts and processes, captured files and output, and times of the capture are
    left out, and paths are cut to what says nothing about the machine. What `analyze` needs stays: every figure of the
    copy is that of the original. Returns what was removed. `progress` is called with the number of records copied.
    Raises TraceError where the source cannot be read, ConfigError or OutputExistsError where the target is not fit.
    """
    if not source.exists():
        raise TraceError(f"{source} does not exist: give the path of a trace file or folder")
    result = Scrubbed()
    with whole(source, target, force) as draft:
        _format(source)(source, draft, result, progress)
    return result


Scrubber = Callable[[Path, Path, Scrubbed, "Callable[[int], None] | None"], None]


def _format(source: Path) -> Scrubber:
    if source.is_dir():
        if (source / "meta.json").is_file():
            return recording.scrub
        if is_parquet_export(source):
            return nsys.scrub
        raise TraceError(
            f"{source} is a folder with neither a recording nor an Nsight export in it: give one trace at a time"
        )
    if not source.is_file():
        raise TraceError(f"{source} is not a file: give the path of a trace file or folder")
    try:
        with source.open("rb") as file:
            magic = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise TraceError(f"{source} cannot be read: {error.strerror or error}") from error
    if magic == SQLITE_MAGIC:
        return nsys.scrub
    if report_file.is_report(source, magic):
        raise TraceError(
            f"{source} is a report that only nsys can read: run `{report_file.export_command(source)}`, and scrub the "
            ".sqlite file"
        )
    return kineto.scrub
