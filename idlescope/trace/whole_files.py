"""Write beside the name that is wanted, rename at the end: no half file is ever left behind."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from idlescope.errors import ConfigError, OutputExistsError
from idlescope.plain_files import read_plain
from idlescope.trace import drafts, in_place

# Of a recording, as recording/files.py writes it: what is in its folder, and in its document.
RECORDING = "meta.json"
RECORDING_FILES = {
    RECORDING,
    *(f"{table}.parquet" for table in ("operations", "calls", "ranges", "samples")),
}
RECORDING_ENTRIES = {"schema", "names", "devices", "streams", "threads", "meta"}


@contextmanager
def whole(source: Path, target: Path, force: bool) -> Iterator[Path]:
    """Yield the path to write to, with the target's suffixes.

    It becomes the target where the block ends well; of a link, what that leads to. `source` is what
    the block reads. A folder is replaced only by a folder and only where it holds a recording of
    ours or nothing; a file only by a file.

    Raises ConfigError where the target is the source, lies within it, or holds it, and where it
    cannot be written; OutputExistsError where it is there, unless forced to replace it.
    """
    _refuse(source, target, force)
    place = target.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with drafts.held(place.parent) as folder:
            draft_path = folder / place.name
            yield draft_path
            _refuse(source, target, force)  # it may have been written meanwhile
            if place.is_dir() != draft_path.is_dir() and place.exists():
                existing_kind = "a folder" if place.is_dir() else "a file"
                raise OutputExistsError(
                    f"{target} is {existing_kind}, which the result is not: give another name"
                )
            in_place.replace(draft_path, place)
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror or error}; give another place"
        ) from error


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
    if target.is_dir() and any(target.iterdir()) and not _holds_recording(target):
        raise OutputExistsError(
            f"{target} is a folder that holds something other than a trace: give another name"
        )


def _holds_recording(folder: Path) -> bool:
    """Return whether a folder holds a recording of ours, by what it says of itself, and no more."""
    names = {path.name for path in folder.iterdir()}
    if not names <= RECORDING_FILES or any(map(Path.is_dir, folder.iterdir())):
        return False
    try:
        document = json.loads(read_plain(folder / RECORDING))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() >= RECORDING_ENTRIES
