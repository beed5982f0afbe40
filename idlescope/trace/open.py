"""Open a trace whatever its format, told from its content rather than its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from glob import glob, has_magic
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace import remote, run_folder
from idlescope.trace.formats import Progress, format_of, suffixes
from idlescope.trace.model import Trace


def open_trace(
    path: str | Path,
    progress: Progress | None = None,
    *,
    frames: bool = True,
    only: Sequence[Path] | None = None,
    mode: str | None = None,
) -> Trace:
    """Return the Trace in a file or folder.

    A Kineto JSON (`.json`, `.json.gz`), an Nsight Systems export (SQLite or Parquet folder) or
    report (`.nsys-rep`, exported with `nsys` where it is there), a file of another profiler that
    `FORMATS` has, any of them packed, a recording of `idlescope run`, or a folder or archive of
    such traces, one per rank; of this folder, `only` these where they are given. Of a
    folder that `idlescope run` wrote, the recording of `mode`, which need not be given where there
    is one. A URL that fsspec speaks is fetched first (`remote`), and a pattern stands for the files
    that it matches. `progress` is called with the number of events read so far. Without `frames`,
    operators and Python frames are left out.

    Raises TraceError, one clear sentence, where there is no such file or it is none of these, and
    ConfigError where the mode has to be chosen, or cannot be.
    """
    url = remote.url_of(path)
    if url is not None:
        return _open_remote(url, progress, frames)
    path = Path(path)
    if only is None and has_magic(str(path)) and not path.exists():
        only = matching(path)
    if only is None:
        run_folder.refuse_mode(path, mode)
        path = run_folder.recording(path, mode)
        format_found = format_of(path)
        if format_found is not None:
            return format_found.read(path, progress, frames)
    return _open_ranks(path, only, progress, frames)


def _open_remote(url: str, progress: Progress | None, frames: bool) -> Trace:
    """Return the Trace of what a URL means, called by the URL without what lets one in."""
    with remote.fetched(url, suffixes()) as copy:
        try:
            opened = open_trace(copy, progress, frames=frames)
        except TraceError as error:
            raise TraceError(str(error).replace(str(copy), remote.shown(url))) from error
    return replace(opened, meta=opened.meta.replace(path=remote.shown(url)))


def matching(pattern: Path) -> list[Path]:
    """Return the files that a pattern matches, by name. Raises TraceError where there are none."""
    found = [Path(name) for name in sorted(glob(str(pattern)))]
    if not found:
        raise TraceError(f"no file matches {pattern}")
    return found


def _open_ranks(
    folder: Path, only: Sequence[Path] | None, progress: Progress | None, frames: bool
) -> Trace:
    """Return the traces of a folder as one, or `only` these of it.

    A file that is no trace is left out, and said.
    """
    from idlescope.trace import ranks_folder, ranks_recordings, ranks_said

    paths, left_out = ranks_said.without_merged(
        ranks_folder.files(folder) if only is None else only
    )
    open_ranks: list[ranks_folder.Rank] = []
    errors: dict[Path, TraceError] = {}
    for rank_path in paths:
        earlier_events = sum(earlier_rank.trace.meta.events for earlier_rank in open_ranks)
        counted = None if progress is None else partial(_count, progress, earlier_events)
        try:
            opened = open_trace(rank_path, counted, frames=frames)
            open_ranks.append(ranks_folder.Rank.of(rank_path, opened))
        except TraceError as error:  # such as a configuration that ends in .json, too
            errors[rank_path] = error
    if not open_ranks:
        raise next(iter(errors.values()))
    left_out += [
        f"{rank_path.name} was left out: {str(error).removeprefix(f'{rank_path} ')}"
        for rank_path, error in errors.items()
    ]
    again = ranks_recordings.left_out([rank.recorded for rank in open_ranks])
    left_out += again.sentences
    open_ranks = [rank for row, rank in enumerate(open_ranks) if row not in again.rows]
    left_out += ranks_said.doubtful_ranks(
        [(rank.path.name, rank.trace.meta.distributed) for rank in open_ranks]
    )
    return ranks_folder.merge(folder, open_ranks, left_out)


def _count(progress: Progress, earlier_events: int, events: int) -> None:
    progress(earlier_events + events)
