"""Drafts: hidden folders in which results are written, each locked by its writer while it lives.

A killed writer cannot remove its own: the next that writes into the same folder does. Its name says
who made a draft and that it is one of ours, so that nothing of the user's is ever taken for one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from idlescope.trace import in_place

PREFIX = ".idlescope-"
# the writer's process id, when it started, its number of this draft, and a digest of these three
NAME = re.compile(rf"{re.escape(PREFIX)}(\d+)-(\d+)-(\d+)-([0-9a-f]{{12}})")
START_FIELD = (
    19  # of Linux's /proc/PID/stat, behind the name of the process (proc(5): starttime)
)

_numbers = count()


@contextmanager
def held(parent: Path) -> Iterator[Path]:
    """Make a draft in a folder, yield it, and remove it at the end with whatever is in it.

    Drafts that dead writers left in the folder are removed first. Raises OSError where none can be
    made.
    """
    remove_abandoned(parent)
    draft = parent / _new_name()
    lock = None
    try:
        draft.mkdir()
        lock = _lock(draft)
        yield draft
    finally:
        in_place.remove(draft)
        _unlock(lock)


def put(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all: what was there before stays until then.

    Raises OSError where it cannot be written.
    """
    place = path.resolve()  # of a link, what it leads to
    if place.exists() and not place.is_file():  # such as /dev/stdout
        place.write_bytes(content)
        return
    with held(place.parent) as draft:
        drafted = draft / place.name
        drafted.write_bytes(content)
        in_place.replace(drafted, place)


def is_draft(name: str) -> bool:
    """Return whether a folder of this name is a draft of ours."""
    parts = NAME.fullmatch(name)
    return parts is not None and parts[4] == _digest(*parts.group(1, 2, 3))


def remove_abandoned(parent: Path) -> None:
    """Remove the drafts in a folder whose writers are dead."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if is_draft(entry.name) and entry.is_dir(follow_symlinks=False):
                _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(draft: Path) -> None:
    """Remove a draft that is not locked, and whose writer does not run here."""
    parts = NAME.fullmatch(draft.name)
    assert parts is not None
    if _is_running(int(parts[1]), parts[2]):
        return
    lock = _lock(draft)
    if lock is not None:
        in_place.remove(draft)
        _unlock(lock)


def _new_name() -> str:
    process_id = os.getpid()
    parts = (str(process_id), _start_of(process_id) or "0", str(next(_numbers)))
    return f"{PREFIX}{'-'.join(parts)}-{_digest(*parts)}"


def _digest(*parts: str) -> str:
    import hashlib  # not by who only reads

    text = f"a draft of idlescope: {' '.join(parts)}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_running(process_id: int, start: str) -> bool:
    """Return whether a process runs on this machine; where that is not told, False."""
    return _start_of(process_id) == start


def _start_of(process_id: int) -> str | None:
    """Return when a process started, in ticks since the machine did; None where not told."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(
            encoding="utf-8", errors="replace"
        )
    except OSError:
        return None
    behind_name = status.rpartition(")")[2].split()
    return behind_name[START_FIELD] if len(behind_name) > START_FIELD else None


def _lock(draft: Path) -> int | None:
    """Lock a draft; the lock ends with the process, however that ends.

    Returns the descriptor that holds it; None where another process has it, or where there are no
    locks: whether a writer lives is not told there.
    """
    try:
        import fcntl

        descriptor = os.open(draft, os.O_RDONLY)
    except (ImportError, OSError):  # Windows; or it is gone
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
