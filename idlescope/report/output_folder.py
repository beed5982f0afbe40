"""The folder that a command writes into: made, refused where it holds anything, never the trace.

A result is drafted beside its folder and put into it whole (`written`), so that a full disk, Ctrl-C
or a kill leaves the earlier result, and two writers of one folder do not mix theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from idlescope.errors import ConfigError, OutputExistsError
from idlescope.report.result_files import is_ours
from idlescope.trace import drafts, in_place


class Draft(NamedTuple):
    """A folder to write a result to, which becomes the one that was asked for."""

    folder: Path
    asked: Path

    def placed(self, written: Sequence[Path]) -> list[Path]:
        """Return where what was written is in the end."""
        return [self.asked / path.relative_to(self.folder) for path in written]


def claim(folder: Path, force: bool, source: Path | None = None) -> None:
    """Make the folder.

    Raises OutputExistsError where it holds anything, unless forced to replace what is written.
    Raises ConfigError, forced or not, where it is or holds `source`, the trace reported on.
    """
    _refuse(folder, force, source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputExistsError(
            f"{folder} cannot be made: {reason}; give another --out"
        ) from error


@contextmanager
def made(folder: Path, force: bool, sources: Sequence[Path]) -> Iterator[None]:
    """Make the folder as `claim` does, before anything takes long; what fails leaves no empty one.

    `sources` are the traces reported on.
    """
    missing = _missing(folder)
    claim(folder, force)
    for source in sources:
        _refuse(folder, force, source)
    try:
        yield
    except BaseException:
        for made_folder in missing:
            with suppress(OSError):
                made_folder.rmdir()  # fails, as it should, where anything is in it
        raise


@contextmanager
def claimed(folder: Path, force: bool, source: Path | None = None) -> Iterator[None]:
    """Make the folder as `made` does, and write into it alone."""
    sources = [] if source is None else [source]
    with made(folder, force, sources), in_place.alone_in(folder):
        yield


@contextmanager
def written(folder: Path, force: bool, source: Path | None = None) -> Iterator[Draft]:
    """Yield a draft of the folder, which takes its place where the block ends well.

    Else everything is as it was, and Ctrl-C says so. What is in the folder and not of an earlier
    result stays there. Raises as `claim` does, and where another idlescope writes there.
    """
    held_before = folder.is_dir() and any(map(_is_held, folder.iterdir()))
    with claimed(folder, force, source):
        place = folder.resolve()  # of a link, what it leads to
        drafts.remove_abandoned(place)
        try:
            with _new_draft(place) as draft:
                yield Draft(draft, folder)
                _publish(draft, place)
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, str(folder)) from error
        except KeyboardInterrupt as interrupt:
            if str(interrupt) or not held_before:
                raise
            raise KeyboardInterrupt(f"{folder} is as it was before") from interrupt


@contextmanager
def added(folder: Path) -> Iterator[Draft]:
    """Yield a draft of what is put into a folder, which is there and claimed, at the end."""
    with drafts.held(folder) as inside:
        yield Draft(inside, folder)
        in_place.merge(inside, folder)


def free_name(base: Path) -> Path:
    """Return the folder of that name, or the first of name-2, name-3, … that is not there yet."""
    candidate, number = base, 1
    while candidate.exists() or candidate.is_symlink():
        number += 1
        candidate = base.with_name(f"{base.name}-{number}")
    return candidate


def _refuse(folder: Path, force: bool, source: Path | None) -> None:
    if source is not None and _holds(folder, source):
        raise ConfigError(
            f"{source} is in {folder}, and the trace is never changed: give another --out"
        )
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file: give a folder with --out")
    if folder.is_dir() and not force and any(map(_is_held, folder.iterdir())):
        raise OutputExistsError(
            f"{folder} already holds files: give another --out, or --force to replace them"
        )


def _is_held(path: Path) -> bool:
    return not drafts.is_draft(path.name)


def _missing(folder: Path) -> list[Path]:
    """Return the folders that have to be made for it, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _holds(folder: Path, source: Path) -> bool:
    """Return whether a folder is or holds a trace, by its name or by a link to it."""
    output = folder.resolve()
    source_as_named = source.parent.resolve() / source.name
    for source_place in (source.resolve(), source_as_named):
        if output == source_place or output in source_place.parents:
            return True
    if not folder.is_dir() or not source.is_file():
        return False
    return any(
        held_path.is_file() and held_path.samefile(source) for held_path in folder.iterdir()
    )


@contextmanager
def _new_draft(place: Path) -> Iterator[Path]:
    """Make the folder of a draft: beside the place, or in it where only that can be.

    A folder that is a file system of its own cannot be exchanged for another, and the one that this
    process runs in should not be.
    """
    current = Path.cwd()
    only_inside = os.path.ismount(place) or place in (current, *current.parents)
    with ExitStack() as opened:
        draft = None
        if not only_inside:
            with suppress(OSError):  # of a parent that cannot be written to
                draft = opened.enter_context(drafts.held(place.parent))
        yield draft or opened.enter_context(drafts.held(place))


def _publish(draft: Path, place: Path) -> None:
    """Put a whole draft in its place."""
    is_beside = draft.parent == place.parent
    if is_beside and is_ours(place):
        in_place.replace(draft, place)
    else:
        in_place.merge(draft, place)
