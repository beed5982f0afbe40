"""Find the trace that a command's path and `--mode` name."""

from __future__ import annotations

from pathlib import Path

from idlescope.errors import ConfigError
from idlescope.trace import run_folder


def chosen(path: Path, mode: str | None) -> Path:
    """Return the trace that a path names; of a folder of `idlescope run`, the recording of a mode.

    Raises ConfigError where such a folder has several recordings and no mode is given, and where a
    mode is given for anything else.
    """
    if mode is not None and not run_folder.recordings(path):
        raise ConfigError(
            f"{path} is no folder of `idlescope run`, which --mode chooses of"
        )
    return run_folder.recording(path, mode)
