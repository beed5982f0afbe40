"""Copy a trace without what tells who recorded it and where: only what is known is copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from idlescope.errors import ConfigError, TraceError
from idlescope.trace import formats
from idlescope.trace.formats import Format
from idlescope.trace.scrub.counts import NOTHING_KEPT, Kept, Scrubbed
from idlescope.trace.whole_files import whole

# suffixes by which people tell what is in a file
KNOWN_SUFFIXES = frozenset({".json", ".gz", ".sqlite", ".nsys-rep", ".parquet"})


def scrub(
    source: Path,
    target: Path,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
    kept: Kept = NOTHING_KEPT,
) -> Scrubbed:
    """Write a copy of a trace, in its own format, that can be shared; the trace is only read.

    Environment, command lines, names of hosts and processes, captured files and output, and times
    of the capture are left out, and paths are cut to what says nothing about the machine; so are
    names of threads and instants that are more than a number, unless `kept` says otherwise. What
    `analyze` needs stays: every figure of the copy is that of the original. Returns what was
    removed. `progress` is called with the number of records copied.

    Raises TraceError where the source cannot be read, ConfigError or OutputExistsError where the
    target is not fit, as where its name ends as those of another format do.
    """
    source_format = formats.format_of(source)
    if source_format is None:
        raise TraceError(
            f"{source} is a folder with neither a recording nor an Nsight export in it: "
            "give one trace at a time"
        )
    _refuse_other_format(source_format, target)
    result = Scrubbed(kept=kept)
    with whole(source, target, force) as draft_path:
        source_format.scrub(source, draft_path, result, progress)
    return result


def _refuse_other_format(source_format: Format, target: Path) -> None:
    """Raise ConfigError where the target's name promises another format than the copy has."""
    suffix = target.suffix.lower()
    endings = source_format.suffixes
    own_suffixes = {Path(f"name{ending}").suffix for ending in endings}  # .gz of .json.gz
    if suffix not in KNOWN_SUFFIXES or suffix in own_suffixes:
        return
    wanted = (
        f"a name that ends in {' or '.join(endings)}" if endings else "the name of a folder"
    )
    raise ConfigError(
        f"{target} ends in {suffix}, but the copy has the trace's own format "
        f"({source_format.title}): give {wanted}"
    )
