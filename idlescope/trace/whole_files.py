"""Write beside the name that is wanted, rename at the end: no half file is ever left behind."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from idlescope.errors import ConfigError, OutputExistsError


@contextmanager
def whole(source: Path, target: Path, force: bool) -> Iterator[Path]:
    """Yield the path to write to, with the target's suffixes.

    It becomes the target where the block ends well. `source` is what the block reads. A folder is
    replaced only by a folder and only where it holds a trace or nothing; a file only by a file.

    Raises ConfigError where the target is the source, lies within it, or holds it, and where it
    cannot be written; OutputExistsError where it is there, unless forced to replace it.
    """
    _refuse(source, target, force)
    draft_path = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield draft_path
        if target.is_dir() != draft_path.is_dir() and target.exists():
            existing_kind = "a folder" if target.is_dir() else "a file"
            raise OutputExistsError(
                f"{target} is {existing_kind}, which the result is not: give another name"
            )
        _rename(draft_path, target)
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror or error}; give another place"
        ) from error
    finally:
        _remove(draft_path)


@contextmanager
def new_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a new SQLite database to fill, committed at the end.

    It is not safe against a crash of the machine: what is written with it is renamed when it is
    whole. Raises OSError where it cannot be written.
    """
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            with database:
                yield database
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _refuse(source: Path, target: Path, force: bool) -> None:
    """Raise ConfigError or OutputExistsError where the target may not be written to."""
    source_path, target_path = source.resolve(), target.resolve()
    both_exist = source_path.exists() and target_path.exists()
    if source_path == target_path or (both_exist and source_path.samefile(target_path)):
        raise ConfigError(
            f"{target} is the trace itself, which is never changed: "
            "give another name for the result"
        )
    if source_path in target_path.parents or target_path in source_path.parents:
        raise ConfigError(
            f"{target} and {source} lie within each other: "
            "give a place for the result beside the trace"
        )
    if not (target.exists() or target.is_symlink()):
        return
    if not force:
        raise OutputExistsError(
            f"{target} is there already: give another name, or --force to replace it"
        )
    if target.is_dir() and any(target.iterdir()) and not _holds_trace(target):
        raise OutputExistsError(
            f"{target} is a folder that holds something other than a trace: give another name"
        )


def _holds_trace(folder: Path) -> bool:
    return all(
        path.name == "meta.json" or path.suffix == ".parquet" for path in folder.iterdir()
    )


def _rename(draft: Path, target: Path) -> None:
    if not target.is_dir():
        draft.replace(target)
        return
    earlier = draft.with_name(f"{draft.name}.earlier")
    target.rename(earlier)
    try:
        draft.rename(target)
    except OSError:
        earlier.rename(target)
        raise
    shutil.rmtree(earlier)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        with suppress(OSError):  # its folder may not be there
            draft.unlink()
