"""Read a recording for a comparison, whatever it is given as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison import analysis_file, blocks
from idlescope.analysis.comparison.breakdown import Breakdown
from idlescope.analysis.result import Analysis
from idlescope.analysis.steps.window import FIRST_LAST
from idlescope.errors import ConfigError
from idlescope.trace import run_folder
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace

Source: TypeAlias = "str | Path | Trace | Analysis | Breakdown"


def read(
    source: Source,
    progress: Callable[[int], None] | None = None,
    *,
    mode: str | None = None,
    **options: Any,
) -> Breakdown:
    """Return the breakdown of a recording; `options` are those of `analyze`.

    Raises TraceError where it cannot be read, ConfigError for options that do not fit it.
    """
    if isinstance(source, Breakdown):
        refuse_choice(source.path, options)
        return source
    if isinstance(source, Analysis):
        refuse_choice(source.source["path"], options)
        return blocks.of_analysis(source)
    if isinstance(source, Trace):
        return blocks.of_analysis(analyze(source, **options))
    path = run_folder.recording(Path(source), mode)
    document = path / "analysis.json" if path.is_dir() else path
    if analysis_file.is_analysis(document):
        refuse_choice(document, options)
        return analysis_file.of_json(document)
    trace = open_trace(path, progress)
    return blocks.of_analysis(analyze(trace, **options))


def refuse_choice(path: object, options: Mapping[str, Any]) -> None:
    """Raise ConfigError where options of `analyze` choose a part of what is analysed already."""
    if any(value not in (None, FIRST_LAST) for value in options.values()):
        raise ConfigError(
            f"the figures of {path} are made already: give the trace, to choose what of it they "
            "are of"
        )
