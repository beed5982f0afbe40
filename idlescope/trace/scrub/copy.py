"""Copy a trace without what tells who recorded it and where: only what is known is copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from idlescope.errors import ConfigError, TraceError
from idlescope.trace.kineto import scrub as kineto
from idlescope.trace.nsys import report_file
from idlescope.trace.nsys import scrub as nsys
from idlescope.trace.nsys.reader import is_parquet_export
from idlescope.trace.open import SQLITE_MAGIC
from idlescope.trace.recording import scrub as recording
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.whole_files import whole

Scrubber = Callable[[Path, Path, Scrubbed, "Callable[[int], None] | None"], None]


class Format(NamedTuple):
    """A form of traces that can be scrubbed: how, and what the names of such traces end in."""

    title: str
    scrub: Scrubber
    suffixes: tuple[str, ...]  # none: the trace is a folder


KINETO = Format("a torch.profiler trace", kineto.scrub, (".json", ".json.gz", ".gz"))
NSYS_SQLITE = Format("an Nsight Systems export", nsys.scrub, (".sqlite",))
NSYS_PARQUET = Format("a folder of Parquet files", nsys.scrub, ())
RECORDING = Format("a recording, a folder", recording.scrub, ())
# suffixes by which people tell what is in a file
KNOWN_SUFFIXES = frozenset({".json", ".gz", ".sqlite", ".nsys-rep", ".parquet"})


def scrub(
    source: Path, target: Path, force: bool = False, progress: Callable[[int], None] | None = None
) -> Scrubbed:
    """Write a copy of a trace, in its own format, that can be shared; the trace is only read.

    Environment, command lines, names of hosts and processes, captured files and output, and times
    of the capture are left out, and paths are cut to what says nothing about the machine. What
    `analyze` needs stays: every figure of the copy is that of the original. Returns what was
    removed. `progress` is called with the number of records copied.

    Raises TraceError where the source cannot be read, ConfigError or OutputExistsError where the
    target is not fit, as where its name ends as those of another format do.
    """
    if not source.exists():
        raise TraceError(f"{source} does not exist: give the path of a trace file or folder")
    source_format = _format_of(source)
    _refuse_other_format(source_format, target)
    result = Scrubbed()
    with whole(source, target, force) as draft:
        source_format.scrub(source, draft, result, progress)
    return result


def _format_of(source: Path) -> Format:
    if source.is_dir():
        return _format_of_folder(source)
    if not source.is_file():
        raise TraceError(f"{source} is not a file: give the path of a trace file or folder")
    try:
        with source.open("rb") as file:
            magic = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise TraceError(f"{source} cannot be read: {error.strerror or error}") from error
    if magic == SQLITE_MAGIC:
        return NSYS_SQLITE
    if report_file.is_report(source, magic):
        raise TraceError(
            f"{source} is a report that only nsys can read: "
            f"run `{report_file.export_command(source)}`, and scrub the .sqlite file"
        )
    return KINETO


def _format_of_folder(source: Path) -> Format:
    if (source / "meta.json").is_file():
        return RECORDING
    if is_parquet_export(source):
        return NSYS_PARQUET
    raise TraceError(
        f"{source} is a folder with neither a recording nor an Nsight export in it: "
        "give one trace at a time"
    )


def _refuse_other_format(source_format: Format, target: Path) -> None:
    """Raise ConfigError where the target's name promises another format than the copy has."""
    suffix = target.suffix.lower()
    if suffix not in KNOWN_SUFFIXES or suffix in source_format.suffixes:
        return
    # ".gz" stands for ".json.gz"
    endings = [ending for ending in source_format.suffixes if ending != ".gz"]
    wanted = f"a name that ends in {' or '.join(endings)}" if endings else "the name of a folder"
    raise ConfigError(
        f"{target} ends in {suffix}, but the copy has the trace's own format "
        f"({source_format.title}): give {wanted}"
    )
