"""One case: the files of a mutant, and what its reader made of it."""

from __future__ import annotations

import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from idlescope.errors import IdlescopeError

LONGEST_S = 10  # of processor time
LONGEST_WAIT_S = 120
LONGEST_SENTENCE = 2_000  # characters; a line break in it is shown as a character
ONLY_FILE = ""  # name of the file of a case that is no folder

Files = dict[str, bytes]  # content by name


class Target(NamedTuple):
    """A reader, and how mutants for it are made."""

    name: str
    suffix: str  # of the file, or of the folder
    mutant: Callable[[Random], Files]
    # reads what lies at a path; raises IdlescopeError where it is refused, WrongFiguresError where it lies
    read: Callable[[Path], None]


class WrongFiguresError(Exception):
    """A mutant was accepted, and its figures are not those of the brute-force reference."""


class Hang(BaseException):
    """A mutant took longer than anyone waits."""


class Find(NamedTuple):
    """A mutant that shows a fault."""

    target: str
    signature: str
    files: Files


def tried(target: Target, files: Files, folder: Path) -> Find | None:
    """Return what is wrong with how a case is read; None where nothing is."""
    path = _written(files, folder / f"case{target.suffix}")
    try:
        with limited():
            target.read(path)
    except IdlescopeError as error:
        if len(str(error)) > LONGEST_SENTENCE:
            return Find(target.name, f"no sentence: {type(error).__name__}", files)
    except (Hang, Exception) as error:
        return Find(target.name, _signature(error), files)
    return None


def minimised(target: Target, find: Find, folder: Path, tries: int = 300) -> Find:
    """Return a smaller case with the same signature."""
    best = find
    for name in find.files:
        content, step = best.files[name], max(1, len(best.files[name]) // 2)
        while step and tries > 0:
            place = 0
            while place < len(content) and tries > 0:
                smaller = content[:place] + content[place + step :]
                again = tried(target, {**best.files, name: smaller}, folder)
                tries -= 1
                if again is not None and again.signature == find.signature:
                    best, content = again, smaller
                else:
                    place += step
            step //= 2
    return best


def _written(files: Files, path: Path) -> Path:
    if path.is_dir():
        shutil.rmtree(path)
    if list(files) == [ONLY_FILE]:
        path.write_bytes(files[ONLY_FILE])
        return path
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@contextmanager
def limited() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hang

    # of processor time, which a busy machine does not stretch; and of waiting for a child
    before = [signal.signal(number, late) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    signal.alarm(LONGEST_WAIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGALRM, before[1])


def _signature(error: BaseException) -> str:
    """Return the kind of an error and the line of ours that raised it."""
    if isinstance(error, WrongFiguresError):
        return f"wrong: {error}"[:60]
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/idlescope/" in frame.filename
    ]
    place = (
        f"{ours[-1].filename.rpartition('/idlescope/')[2]}:{ours[-1].name}" if ours else "?"
    )
    return f"{type(error).__name__} in {place}"


def packed(find: Find) -> bytes:
    """Return a find as it is kept in the corpus."""
    return msgspec.msgpack.encode((find.target, find.signature, find.files))


def unpacked(content: bytes) -> Find:
    """Return a find of the corpus."""
    return Find(*msgspec.msgpack.decode(content, type=tuple[str, str, dict[str, bytes]]))
