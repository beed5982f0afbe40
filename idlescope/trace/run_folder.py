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
    meta_files = sorted(folder.glob(f"*{_SUFFIX}/meta.json"), reverse=True)
    return {
        meta_file.parent.name.removesuffix(_SUFFIX): meta_file.parent
        for meta_file in meta_files
    }


def refuse_mode(path: Path, mode: str | None) -> None:
    """Raise ConfigError where a mode is given for what is no folder of `idlescope run`."""
    if mode is not None and not recordings(path):
        raise ConfigError(f"{path} is not a folder of `idlescope run`: leave --mode out")


def recording(path: Path, mode: str | None = None) -> Path:
    """Return the one recording that a path names; a path that is no folder of a run as it is.

    Raises ConfigError where the folder has several and none is chosen, or not the chosen one.
    """
    mode_folders = recordings(path)
    if not mode_folders:
        return path
    if mode is None and len(mode_folders) == 1:
        return next(iter(mode_folders.values()))
    if mode in mode_folders:
        return mode_folders[mode]
    modes_there = f"{path} holds {' and '.join(mode_folders)}"
    if mode is not None:
        raise ConfigError(f"{modes_there}, no {mode}")
    raise ConfigError(
        f"{modes_there}: choose one with --mode {' or --mode '.join(mode_folders)}"
    )
