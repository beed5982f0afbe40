"""A folder of `idlescope run` holds one recording per mode, besides its report and traces."""

from __future__ import annotations

from pathlib import Path

from idlescope.errors import ConfigError

SUMMARY = "summary.json"
_SUFFIX = ".recording"


def recordings(path: Path) -> dict[str, Path]:
    """Return the recordings of a folder of `idlescope run` by mode, synchronous first.

    The folder may be named by its `summary.json`. Of anything else there are none.
    """
    folder = path.parent if path.name == SUMMARY else path
    if not (folder / SUMMARY).is_file():
        return {}
    found = sorted(folder.glob(f"*{_SUFFIX}/meta.json"), reverse=True)
    return {meta.parent.name.removesuffix(_SUFFIX): meta.parent for meta in found}


def recording(path: Path, mode: str | None = None) -> Path:
    """Return the one recording that a path names; a path that is no folder of a run as it is.

    Raises ConfigError where the folder has several and none is chosen, or not the chosen one.
    """
    modes = recordings(path)
    if not modes:
        return path
    if mode is None and len(modes) == 1:
        return next(iter(modes.values()))
    if mode in modes:
        return modes[mode]
    there = f"{path} holds {' and '.join(modes)}"
    if mode is not None:
        raise ConfigError(f"{there}, no {mode}")
    raise ConfigError(f"{there}: choose one with --mode {' or --mode '.join(modes)}")
