"""Keep what files of ranks gave, so that the next question about a folder is answered at once.

In $IDLESCOPE_CACHE, else in idlescope/ranks of the user's cache folder ($XDG_CACHE_HOME, ~/.cache);
"off" keeps nothing. An entry is found again by its file's path, size, time, first and last bytes,
the options, and the code that made it. Nothing that is kept can run (rank_file.py).
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from idlescope import __version__
from idlescope.analysis.ranks.asked import HEAD_LENGTH, RankBytesError, RankOptions

if TYPE_CHECKING:
    from idlescope.analysis.ranks.rank_file import RankFile

VARIABLE = "IDLESCOPE_CACHE"
OFF = "off"
MOST_BYTES = 1 << 30  # of all entries: the ones used longest ago go
ENDS_BYTES = 1 << 16  # of a file's start and end, beside its size and time
SUFFIX = ".rank"


class KeptSummaries:
    """What was found of files of ranks with some options, on disk. No error of it is the user's."""

    def __init__(self, options: RankOptions) -> None:
        self._options = msgspec.json.encode(options)
        self._folder = _folder()

    def find(self, path: Path) -> RankFile | None:
        """Return what a file gave; None where that was not kept, or the file has changed."""
        with suppress(OSError, RankBytesError):
            entry = self._entry(path)
            if entry is None or not entry.exists():
                return None
            from idlescope.analysis.ranks.rank_file import unpacked_whole

            found = unpacked_whole(entry.read_bytes())
            os.utime(entry)  # used last
            return None if isinstance(found, str) else found
        return None

    def keep(self, path: Path, head: bytes, columns: bytes) -> None:
        """Keep what a file gave."""
        with suppress(OSError):
            entry = self._entry(path)
            if entry is None:
                return
            entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lengths = HEAD_LENGTH.pack(len(head), len(columns))
            draft = entry.with_suffix(f".{os.getpid()}.part")
            draft.write_bytes(b"".join((lengths, head, columns)))
            draft.replace(entry)

    def tidy(self) -> None:
        """Remove the entries that were used longest ago, where all of them are too large."""
        if self._folder is None:
            return
        with suppress(OSError):
            stated = {entry: entry.stat() for entry in self._folder.glob(f"*{SUFFIX}")}
            used_last_first = sorted(stated, key=lambda entry: -stated[entry].st_mtime)
            total_bytes = 0
            for entry in used_last_first:
                total_bytes += stated[entry].st_size
                if total_bytes > MOST_BYTES:
                    entry.unlink(missing_ok=True)

    def _entry(self, path: Path) -> Path | None:
        if self._folder is None or not path.is_file():
            return None
        import hashlib  # not where nothing is kept

        key = hashlib.sha256(_code())
        key.update(self._options)
        key.update(_said_of(path))
        return self._folder / f"{key.hexdigest()[:40]}{SUFFIX}"


def _folder() -> Path | None:
    chosen = os.environ.get(VARIABLE, "")
    if chosen == OFF:
        return None
    if chosen:
        return Path(chosen)
    in_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(in_home) / "idlescope" / "ranks" if os.path.isabs(in_home) else None


def _said_of(path: Path) -> bytes:
    """Return what tells a file from its other versions."""
    stated = path.stat()
    with path.open("rb") as file:
        first = file.read(ENDS_BYTES)
        file.seek(max(stated.st_size - ENDS_BYTES, 0))
        last = file.read(ENDS_BYTES)
    # what the server's own counters said is noted beside traces
    beside = path.parent / "unprofiled.json"
    noted = beside.read_bytes() if beside.is_file() else b""
    said = f"{path.resolve()}\n{stated.st_size}\n{stated.st_mtime_ns}\n"
    return said.encode("utf-8", "surrogateescape") + first + last + noted


@cache
def _code() -> bytes:
    """Return what tells this code from other versions of it."""
    package = Path(__file__).resolve().parents[2]
    # as `rglob` finds them, sooner
    modules = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(package)
        for name in names
        if name.endswith(".py")
    ]
    stated = [(module, os.stat(module).st_mtime_ns) for module in sorted(modules)]
    return f"{__version__} {stated}".encode("utf-8", "surrogateescape")
