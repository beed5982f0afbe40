"""A history's file: JSON, a line per commit, appended whole while no one else writes to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from idlescope.analysis.history.line import SCHEMA, Line
from idlescope.errors import ConfigError, OutputExistsError
from idlescope.plain_files import read_plain
from idlescope.trace.unseen import encoded as encoded_json


class History(NamedTuple):
    """What a file holds."""

    lines: tuple[Line, ...]  # in the order of the file
    damaged: int  # lines that are none
    first_damaged: int  # its number, from 1; 0: there is none


def read(path: Path) -> History:
    """Return what a file holds; of one that is not there, nothing. Raises ConfigError."""
    if not path.exists():
        return History((), 0, 0)
    try:
        return _decoded(read_plain(path))
    except OSError as error:
        raise _unreadable(path, error) from error


def append(path: Path, line: Line) -> History:
    """Add a line to a file, which is made where it is not there; return what it holds then.

    A line is written whole or not at all. Raises OutputExistsError where the file holds something
    else than a history, ConfigError where it cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file, _locked(file):
            return _append(path, file, line)
    except OSError as error:
        raise _unreadable(path, error) from error


def _append(path: Path, file: BinaryIO, line: Line) -> History:
    file.seek(0)
    # what has no length may still wait for ever: a file that the kernel makes up
    before = file.read() if os.fstat(file.fileno()).st_size else b""
    history = _decoded(before)
    if before.strip() and not history.lines:
        raise OutputExistsError(
            f"{path} is there already and holds no history of idlescope: give another --history"
        )
    # A line that was cut off, by a full disk, stays damaged, and alone.
    begins_anew = b"\n" if before and not before.endswith(b"\n") else b""
    encoded = begins_anew + encoded_json(line) + b"\n"
    try:
        written = file.write(encoded)
        os.fsync(file.fileno())
    except (OSError, KeyboardInterrupt):
        file.truncate(len(before))
        raise
    if written != len(encoded):
        file.truncate(len(before))
        raise ConfigError(f"{path} cannot be written: the disk is full; nothing was added")
    return history._replace(lines=(*history.lines, line))


def _decoded(content: bytes) -> History:
    lines: list[Line] = []
    damaged = first_damaged = 0
    for number, text in enumerate(content.split(b"\n"), 1):
        if not text.strip():
            continue
        line = _line(text)
        if line is not None:
            lines.append(line)
            continue
        damaged += 1
        first_damaged = first_damaged or number
    return History(tuple(lines), damaged, first_damaged)


def _line(text: bytes) -> Line | None:
    """Return the line that a text is; None for what is none, or of a version to come."""
    try:
        line = msgspec.json.decode(text, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return line if line.schema == SCHEMA else None


@contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Keep others from writing to a file for the block (not on Windows, which has no such lock)."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be a history: {error.strerror or error}; give another --history"
    )
