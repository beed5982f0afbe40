"""The folder that a command writes into: made, refused where it holds anything, never the trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from idlescope.errors import ConfigError, OutputExistsError


def claim(folder: Path, force: bool, source: Path | None = None) -> None:
    """Make the folder.

    Raises OutputExistsError where it holds anything, unless forced to replace what is written.
    Raises ConfigError, forced or not, where it is or holds `source`, the trace reported on.
    """
    if source is not None and _holds(folder, source):
        raise ConfigError(
            f"{source} is in {folder}, and the trace is never changed: give another --out"
        )
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file: give a folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise OutputExistsError(
            f"{folder} already holds files: give another --out, or --force to replace them"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputExistsError(
            f"{folder} cannot be made: {reason}; give another --out"
        ) from error


@contextmanager
def claimed(folder: Path, force: bool, source: Path | None = None) -> Iterator[None]:
    """Make the folder as `claim` does; what fails meanwhile leaves no empty one behind."""
    claim(folder, force, source)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            folder.rmdir()  # fails, as it should, where anything is in it
        raise


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


def free_name(base: Path) -> Path:
    """Return the folder of that name, or the first of name-2, name-3, … that is not there yet."""
    candidate, number = base, 1
    while candidate.exists():
        number += 1
        candidate = base.with_name(f"{base.name}-{number}")
    return candidate
