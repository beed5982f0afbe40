"""Recordings of a watch: where they go, and how many are kept."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from idlescope.report import output_folder
from idlescope.trace.model import Trace
from idlescope.trace.recording import files

FOLDER = "recordings"
PREFIX = "watched-"


def write(trace: Trace, folder: Path) -> Path:
    """Write a recording into a folder that must not hold anything; return it.

    Raises OutputExistsError where it does.
    """
    with output_folder.written(folder, force=False) as draft:
        files.write(trace, draft.folder)
    return folder


def write_next(trace: Trace, parent: Path, most: int) -> Path:
    """Write a recording beside the earlier ones, of which the newest `most` are kept."""
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
