"""Which files an agent may have read: those in the folders and files that the user gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from idlescope.errors import ConfigError
from idlescope.trace import remote

MOST_NAMED = 3  # of the roots, in an error


class Roots:
    """Files and folders that the user gave; nothing outside of them is looked at."""

    def __init__(self, given: Sequence[Path]) -> None:
        self._roots = tuple(path.resolve() for path in given)
        for path in self._roots:
            if not path.exists():
                raise ConfigError(f"{path} is not there: give files or folders with traces")

    def allowed(self, asked: str) -> Path:
        """Return a path that may be read, with links followed.

        Raises ConfigError for one that lies outside of what was given, or leads there, before
        anything is said of whether it exists.
        """
        if remote.url_of(asked) is not None:
            raise ConfigError("URLs are not opened for agents: give a file of this machine")
        try:
            path = Path(asked).resolve()
        except (OSError, ValueError) as error:  # a circle of links, a NUL
            raise ConfigError("that is no path of a file") from error
        if not self._holds(path):
            raise ConfigError(self._refusal())
        for inside in _entries(path):
            if not self._holds(inside.resolve()):
                raise ConfigError(
                    f"{path.name} holds a link that leads elsewhere: {inside.name}"
                )
        return path

    def _holds(self, path: Path) -> bool:
        return any(path == root or root in path.parents for root in self._roots)

    def _refusal(self) -> str:
        named = ", ".join(map(str, self._roots[:MOST_NAMED]))
        further = len(self._roots) - MOST_NAMED
        more = f" and {further} more" if further > 0 else ""
        return f"only what `idlescope mcp` was given may be read: {named}{more}"


def _entries(path: Path) -> Iterator[Path]:
    """Yield what a folder holds, that of its folders included; nothing of a file."""
    if path.is_dir():
        yield from path.glob("*")
        yield from path.glob("*/*")
