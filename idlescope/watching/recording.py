"""Recordings of a watch: where they go, and how many are kept.

What writes them takes long to import and holds the interpreter's lock, 0.1 s in all: for those who
ask while the loop goes on it is another process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from idlescope.children.start import command
from idlescope.report import output_folder
from idlescope.trace.model import Trace
from idlescope.trace.recording import files
from idlescope.trace.recording.as_bytes import packed, unpacked

FOLDER = "recordings"
PREFIX = "watched-"
PATIENCE_S = 60.0  # with the other process

Write = Callable[[Trace, Path], Path]


def write(trace: Trace, folder: Path) -> Path:
    """Write a recording into a folder that must not hold anything; return it.

    Raises OutputExistsError where it does.
    """
    with output_folder.written(folder, force=False) as draft:
        files.write(trace, draft.folder)
    return folder


def write_elsewhere(trace: Trace, folder: Path) -> Path:
    """Do what `write` does, in another process. Raises OSError with what that said."""
    wrote = subprocess.run(  # noqa: S603 - our own module
        command(__name__, str(folder.absolute())),
        input=packed(trace),
        capture_output=True,
        env=os.environ | {"IDLESCOPE_WATCH": "0"},
        timeout=PATIENCE_S,
        check=False,
    )
    if wrote.returncode:
        said = wrote.stderr.decode(errors="replace").strip().splitlines()
        raise OSError(said[-1] if said else f"writing it ended with {wrote.returncode}")
    return folder


def write_next(trace: Trace, parent: Path, most: int, write: Write) -> Path:
    """Write a recording beside the earlier ones, of which the newest `most` are kept.

    `write` is `write`, or `write_elsewhere` while the loop goes on.
    """
    folder = parent / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    moment = time.strftime("%Y%m%d-%H%M%S")
    name = f"{PREFIX}{moment}-{os.getpid()}"
    written = write(trace, output_folder.free_name(folder / name))
    for old in kept(parent)[:-most]:
        shutil.rmtree(old, ignore_errors=True)
    return written


def kept(parent: Path) -> list[Path]:
    """Return the recordings that are there, the oldest first."""
    found = [
        path
        for path in (parent / FOLDER).glob(f"{PREFIX}*")
        if (path / "meta.json").is_file()
    ]
    return sorted(found, key=lambda path: (path / "meta.json").stat().st_mtime_ns)


def main() -> None:
    """Write the trace on standard input into a folder: what `write_elsewhere` starts."""
    write(unpacked(sys.stdin.buffer.read()), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
