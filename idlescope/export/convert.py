"""Convert a trace of any format that idlescope reads into one that it writes, told by the name of the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from idlescope.analysis.analyze import analyze
from idlescope.errors import ConfigError
from idlescope.export import nsys as nsight
from idlescope.export.perfetto import writer
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files
from idlescope.trace.whole_files import whole

CHOICES = (
    "NAME.json or NAME.json.gz for Perfetto and torch.profiler's readers, NAME.sqlite for Nsight Systems, "
    "NAME.parquet, NAME.recording or a name without a suffix for a folder of Parquet tables"
)


def convert(
    source: Path, target: Path, force: bool = False, progress: Callable[[int], None] | None = None
) -> list[str]:
    """Read a trace and write it in the format that the target's name asks for.

    Returns what could not be carried over, one sentence a kind, after what had to be repaired in reading it. Events of
    a Kineto file that no figure depends on (instants, device-side copies of annotations) are not read and not written.
    `progress` is called with the number of events read. Raises ConfigError for a name of no known format,
    OutputExistsError where the target exists (unless forced), TraceError where the source cannot be read.
    """
    write, left_out = _format(target)
    with whole(source, target, force) as draft:
        trace = open_trace(source, progress)
        write(trace, draft)
    return [*trace.meta.warnings, *left_out(trace)]


def _with_analysis(trace: Trace, path: Path) -> None:
    """Write a trace for Perfetto, with tracks of what its analysis found where a device ran."""
    writer.write(trace, path, analyze(trace).results if len(trace.operations) else ())


def _format(target: Path) -> tuple[Callable[[Trace, Path], None], Callable[[Trace], list[str]]]:
    name = target.name.lower()
    if name.endswith((".json", ".json.gz")):
        return _with_analysis, writer.left_out
    if name.endswith(".sqlite"):
        return nsight.write, nsight.left_out
    if name.endswith((".parquet", ".recording")) or not target.suffix:
        return files.write, lambda _: []
    raise ConfigError(f"{target.name} names no format that idlescope writes: give {CHOICES}")
