"""Put what was written beside a place into that place: whoever looks finds the old or the new.

Results are drafted in a hidden folder beside their place (`drafts`), so that a full disk, Ctrl-C or
a kill leaves what was there before.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from idlescope.errors import OutputExistsError

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2


class Placed:
    """What this process has put in its place: Ctrl-C that comes later tells of it."""

    latest: Path | None = None


def replace(draft: Path, target: Path) -> None:
    """Put a draft in the place of a target, which may be there; what was there is removed.

    Raises OSError, and leaves the target as it was.
    """
    with _undisturbed():
        _put(draft, target)
        Placed.latest = target


def _put(draft: Path, target: Path) -> None:
    if not target.is_dir():
        draft.replace(target)
        return
    if not exchange(draft, target):
        earlier = draft.with_name(f"{draft.name}.earlier")
        target.rename(earlier)
        try:
            draft.rename(target)
        except OSError:
            earlier.rename(target)
            raise
        earlier.rename(draft)
    remove(draft)


def merge(draft: Path, target: Path) -> None:
    """Move what a draft folder holds into a folder, file by file; what else is there stays.

    Raises OutputExistsError where a folder stands in the way of a file, or a file of a folder:
    nothing is moved then.
    """
    _refuse_obstacles(draft, target)
    with _undisturbed():
        _move(draft, target)
        Placed.latest = target


def _refuse_obstacles(draft: Path, target: Path) -> None:
    for entry in draft.iterdir():
        place = target / entry.name
        if place.exists() and entry.is_dir() != place.is_dir():
            what = "Is a directory" if place.is_dir() else "Not a directory"
            raise OutputExistsError(
                f"{place} is in the way of the result: move it, or give another place "
                f"({place.name}: {what})"
            )
        if entry.is_dir() and place.is_dir():
            _refuse_obstacles(entry, place)


def _move(draft: Path, target: Path) -> None:
    for entry in sorted(draft.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _move(entry, place)
        else:
            entry.replace(place)
    draft.rmdir()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Have signals that ask this process to end wait: what is half moved is neither old nor new."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove(draft: Path) -> None:
    """Remove a draft, whether it is a file, a folder or not there."""
    if draft.is_dir() and not draft.is_symlink():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        with suppress(OSError):  # its folder may not be there
            draft.unlink()


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders of one file system in one step; return False where that cannot be."""
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):  # a C library of before 2018
        return False
    one_name, other_name = os.fsencode(one), os.fsencode(other)
    return bool(renameat2(AT_FDCWD, one_name, AT_FDCWD, other_name, RENAME_EXCHANGE) == 0)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes of idlescope from writing into a folder, which is there, meanwhile.

    Raises OutputExistsError where one does. The lock ends with the process, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputExistsError(
                f"{folder} is being written by another idlescope: "
                "wait for it, or give another --out"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)
