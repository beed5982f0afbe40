"""What the places name that somebody gives: addresses, and folders of watched processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from idlescope.capture.server import counters
from idlescope.capture.server.address import Server
from idlescope.capture.server.client import Client
from idlescope.capture.server.exported import PREFIXES, exporter_of
from idlescope.errors import ConfigError, IdlescopeError, ServerError
from idlescope.plain_files import read_plain
from idlescope.watching.settings import Settings
from idlescope.watching.state import WatchedProcess
from idlescope.watching.view.members import (
    ANSWER_S,
    Member,
    ServerMember,
    WatchedMember,
    ask_state,
    is_alive,
)

SCHEMES = ("http://", "https://")
PAGES = ("/metrics", "/state")
MOST_FILES = 10_000  # of a folder of watched processes
START = "start the engine with IDLESCOPE_WATCH=1, or call idlescope.watch() in its loop"


class Members:
    """All that is watched; folders are looked into again, since processes come and go.

    Raises ConfigError and ServerError, in a sentence, for a place where there is nothing to watch.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self.members: list[Member] = []
        self.notes: list[str] = []
        self._folders: list[Path] = []
        self._known: set[tuple[Path, str]] = set()
        for place in places or [str(Settings.read().folder)]:
            if place.startswith(SCHEMES):
                self.members.append(_at(place))
            else:
                self._folders.append(_folder(place))
        self._look_into_folders()
        if not self.members:
            raise ConfigError(f"no process is watched in {self._named_folders()}: {START}")

    @property
    def may_grow(self) -> bool:
        """Return whether processes may still appear."""
        return bool(self._folders)

    def read(self) -> None:
        """Ask all of them once more."""
        self._look_into_folders()
        for member in self.members:
            member.read()

    def _look_into_folders(self) -> None:
        for folder in self._folders:
            _refuse_crowd(folder)
            for path in sorted(folder.glob("*.json")):
                if path.stem.isdecimal() and path.is_file():
                    self._add(path)

    def _add(self, path: Path) -> None:
        """Take in the process that a file is of, unless it is known or has ended."""
        try:
            content = read_plain(path)
            process = msgspec.json.decode(content, type=WatchedProcess)
        except (OSError, msgspec.DecodeError, RecursionError):
            return  # it is gone again, or none of ours
        key = (path, str(process.started_unix_ns))
        if key in self._known:
            return
        self._known.add(key)
        member = _of_process(process)
        member.read()
        if member.gone and not is_alive(process.pid):
            self.notes.append(f"{path.name} is of a process that has ended")
            return
        self.members.append(member)

    def _named_folders(self) -> str:
        return ", ".join(map(str, self._folders))


def _refuse_crowd(folder: Path) -> None:
    """Raise ConfigError where a folder holds more processes than a screen could show."""
    with suppress(OSError), os.scandir(folder) as entries:
        if next(islice(entries, MOST_FILES, None), None) is not None:
            raise ConfigError(
                f"{folder} holds over {MOST_FILES:,} files, more processes than can be watched: "
                "give one of fewer, or remove those of processes that have ended"
            )


def _at(url: str) -> Member:
    """Return what answers at an address."""
    for page in PAGES:
        url = url.removesuffix(page)
    client = Client(Server(url, "", timeout=ANSWER_S))
    state = ask_state(client)
    if state is not None:
        member = WatchedMember(lambda: ask_state(client), url, state.process)
        member.read()
        return member
    reading = counters.read_named(client, PREFIXES)
    exporter = exporter_of(reading) if reading is not None else None
    if reading is None or exporter is None:
        raise ServerError(
            f"{url} shows no watch (/state), nor counters of vLLM, SGLang (--enable-metrics) or "
            f"Dynamo (/metrics): {START}"
        )
    return ServerMember(client, exporter, reading)


def _of_process(process: WatchedProcess) -> WatchedMember:
    """Return a process that a folder names; no key is ever sent to what a file says."""
    if not process.url:
        return WatchedMember(lambda: None, "", process)
    try:
        server = Server(process.url, "", timeout=ANSWER_S)
        client = Client(server, environment={})
        _ = server.address
    except IdlescopeError:
        return WatchedMember(lambda: None, "", process)
    return WatchedMember(lambda: ask_state(client), process.url, process)


def _folder(place: str) -> Path:
    folder = Path(place)
    if folder.is_dir():
        return folder
    if ":" in place and not folder.exists():
        raise ConfigError(
            f"{place} is no folder; is it an address? Then give http://{place}"
        )
    raise ConfigError(f"{folder} is no folder, so no process is watched there: {START}")
