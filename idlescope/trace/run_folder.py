"""A folder of `idlescope run` holds a recording a mode."""

from __future__ import annotations

from pathlib import Path

from idlescope.errors import ConfigError

SUMMARY = "summary.json"
_SUFFIX = ".recording"


def recordings(path: Path) -> dict[str, Path]:
    """Return the recordings of a folder of `idlescope run` by mode, synchronous first; of anything else none.

    The folder may be named by its `summary.json`.
    """
    folder = path.parent if path.name == SUMMARY else path
    if not (folder / SUMMARY).is_file():
        return {}
    found = sorted(folder.glob(f"*{_SUFFIX}/meta.json"), reverse=True)
    return {meta.parent.name.removesuffix(_SUFFIX): meta.parent for meta in found}


def recording(path: Path, mode: str | None = None) -> Path:
    """Return the one recording that a path names, which may be a folder of `idlescope run`; other paths as they are.

    Raises ConfigError where the folder has several and none is chosen, or has not the one that is.
    """
    modes = recordings(path)
    if not modes:
        return path
    if mode is None and len(modes) == 1:
        return next(iter(modes.values()))
    if mode not in modes:
        have = " and ".join(modes)
        raise ConfigError(
            f"{path} holds {have}, no {mode}"
            if mode
            else f"{path} holds {have}: choose one with the mode"
        )
    return modes[mode]
