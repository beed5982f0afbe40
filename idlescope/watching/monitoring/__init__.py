"""What Prometheus and Grafana need to know of watches: files, which are written to a folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from idlescope.errors import ConfigError, OutputExistsError
from idlescope.trace import drafts, in_place

FILES = ("idlescope.rules.yml", "prometheus.yml", "idlescope.dashboard.json")


def text_of(name: str) -> str:
    """Return one of FILES."""
    return (files(__name__) / "files" / name).read_text(encoding="utf-8")


def write(folder: Path, force: bool) -> list[Path]:
    """Write FILES to a folder; return their paths.

    Raises OutputExistsError where there is one of them already, unless forced to replace it,
    ConfigError where it cannot be written.
    """
    targets = [folder / name for name in FILES]
    for target in targets:
        if target.is_dir() or (target.exists() and not force):
            raise OutputExistsError(
                f"{target} is there already: give another folder, or --force to replace it"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with drafts.held(folder) as draft:
            for name in FILES:
                (draft / name).write_text(text_of(name), encoding="utf-8")
            in_place.merge(draft, folder)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"{folder} cannot be written to: {reason}; give another folder"
        ) from error
    return targets
