"""Convert a trace of any format that idlescope reads into one that it writes.

The name of the result tells its format.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from idlescope.analysis.analyze import analyze
from idlescope.errors import ConfigError
from idlescope.export.nsys import writer as nsys
from idlescope.export.perfetto import writer as perfetto
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files
from idlescope.trace.whole_files import whole

CHOICES = (
    "NAME.json or NAME.json.gz for Perfetto and torch.profiler's readers, NAME.sqlite for Nsight "
    "Systems, NAME.parquet, NAME.recording or a name without a suffix for a folder of Parquet "
    "tables"
)


class WrittenFormat(NamedTuple):
    """A format that idlescope writes."""

    suffixes: tuple[str, ...]  # of names that ask for it; "": a name without one
    write: Callable[[Trace, Path], None]
    left_out: Callable[[Trace], list[str]]  # sentences on what the format cannot hold


def _write_for_perfetto(trace: Trace, path: Path) -> None:
    """Write a trace with tracks of what its analysis found, where a device ran."""
    perfetto.write(trace, path, analyze(trace).results if len(trace.operations) else ())


def _nothing(_: Trace) -> list[str]:
    return []


FORMATS = (
    WrittenFormat((".json", ".json.gz"), _write_for_perfetto, perfetto.left_out),
    WrittenFormat((".sqlite",), nsys.write, nsys.left_out),
    WrittenFormat((".parquet", ".recording", ""), files.write, _nothing),
)


def convert(
    source: Path,
    target: Path,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Read a trace and write it in the format that the target's name asks for.

    Returns what could not be carried over, one sentence for each kind, after what had to be
    repaired in reading it. Events of a Kineto file that no figure depends on (instants,
    device-side copies of annotations) are not read and not written. `progress` is called with the
    number of events read. Raises ConfigError for a name of no known format, OutputExistsError
    where the target exists (unless forced), TraceError where the source cannot be read.
    """
    written = _format_of(target)
    with whole(source, target, force) as draft_path:
        opened_trace = open_trace(source, progress)
        written.write(opened_trace, draft_path)
    return [*opened_trace.meta.warnings, *written.left_out(opened_trace)]


def _format_of(target: Path) -> WrittenFormat:
    file_name = target.name.lower()
    for written in FORMATS:
        for suffix in written.suffixes:
            if file_name.endswith(suffix) if suffix else not target.suffix:
                return written
    raise ConfigError(
        f"{target.name} names no format that idlescope writes: give {CHOICES}"
    )
