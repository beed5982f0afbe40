"""What a process with watches has once: a thread that settles them, a server, and a file."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from idlescope import __version__
from idlescope.capture import ranges
from idlescope.trace.unseen import encoded
from idlescope.watching import opentelemetry, prometheus, recording
from idlescope.watching.families import Seen, told_apart
from idlescope.watching.foresight import Foresee, elsewhere
from idlescope.watching.safety import LOGGER, described
from idlescope.watching.served import Answer, Pages, WatchServer, address_of, serve
from idlescope.watching.settings import Settings
from idlescope.watching.shown import sharing
from idlescope.watching.state import WatchedProcess, WatchState

JOIN_S = 2.0  # how long the end of a process waits for the thread
PATIENCE_S = 3.5  # where no loop says that now is a good moment
FRESH_NS = 3_000_000_000  # what is asked for is no older: each settling costs some 4 ms
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class Member(Protocol):
    """What the runtime needs of a watch."""

    off: str
    engine: str
    version: str
    rank: int | None

    def is_due(self) -> bool:
        """Return whether it is time to settle it."""

    @property
    def way_name(self) -> str:
        """Return how the device is timed."""

    def settle(self) -> None:
        """Take in what has happened."""

    def beside(self) -> AbstractContextManager[None]:
        """Return what stands back for the loop meanwhile, and counts what this thread does."""

    def seen(self, foresee: Foresee | None = None) -> Seen:
        """Return what has been seen; with what asynchronous batching would give if asked."""

    def record_next(self) -> Path:
        """Write a recording beside the others."""

    def close(self) -> None:
        """Stop watching, and leave the runtime."""

    def abandon(self) -> None:
        """Be off, without giving anything back: it belongs to another process."""


class Runtime:
    """The watches of this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.members: list[Member] = []
        self.wake = threading.Event()
        self.pid = os.getpid()
        self._started_unix_ns = time.time_ns()
        self._asked_to_record = False
        self._settled_ns = 0
        self._ending = False
        self._server = self._serve()
        self._file: Path | None = None
        self._own_signal = False
        self._take_signal()
        self._thread = threading.Thread(
            target=self._run, name="idlescope-watch", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Return where the process is served; "" where it is not."""
        if self._server is None:
            return ""
        return address_of(self.settings.host, self._server.server_port)

    def add(self, member: Member) -> None:
        """Take in a watch."""
        self.members.append(member)
        self._write_file()
        if self.settings.otel and len(self.members) == 1:
            self._tell_opentelemetry()

    def process(self) -> WatchedProcess:
        """Return what the process says of itself."""
        first = self.members[0] if self.members else None
        return WatchedProcess(
            pid=self.pid,
            rank=first.rank if first else None,
            engine=first.engine if first else "",
            version=first.version if first else "",
            way=first.way_name if first else "",
            url=self.url,
            started_unix_ns=self._started_unix_ns,
            idlescope=__version__,
        )

    def source(self) -> tuple[WatchedProcess, list[Seen]]:
        """Return everything that is exported."""
        self._freshen()
        return self.process(), told_apart([member.seen() for member in list(self.members)])

    def ask_to_record(self, *_: Any) -> None:
        """Let the thread make recordings; a signal handler may call it."""
        self._asked_to_record = True

    def close(self) -> None:
        """Stop the thread and the server, and remove the file."""
        self._ending = True
        self.wake.set()
        if threading.current_thread() is not self._thread:
            # it must not be in the midst of the device's library when that is taken down
            self._thread.join(JOIN_S)
        if self._own_signal and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Let go of what a forked process has taken over from its parent."""
        self._ending = True
        if self._server is not None:
            self._server.socket.close()
        for member in self.members:
            member.abandon()

    def _run(self) -> None:
        """Settle all watches from time to time, best while the loop waits for its device."""
        while not self._ending:
            self.wake.wait(PATIENCE_S)
            self.wake.clear()
            if self._ending:
                return
            for member in list(self.members):
                if member.is_due():
                    member.settle()
            if self._asked_to_record:
                self._asked_to_record = False
                self._record_all()

    def _settle(self) -> None:
        self._settled_ns = time.perf_counter_ns()
        for member in list(self.members):
            member.settle()

    def _freshen(self) -> None:
        """Settle for somebody who asks, unless that was just done."""
        if time.perf_counter_ns() - self._settled_ns > FRESH_NS:
            self._settle()

    def _record_all(self) -> list[Path]:
        self._settle()
        written = []
        for member in list(self.members):
            if not member.off:
                try:
                    written.append(member.record_next())
                except Exception as error:
                    LOGGER.warning("no recording was written: %s", described(error))
        return written

    # -- what is served ------------------------------------------------------------------------

    def _serve(self) -> WatchServer | None:
        pages = Pages(self._metrics, self._state, self._record)
        prometheus.load()
        try:
            return serve(pages, self.settings.host, self.settings.port)
        except OSError as error:
            LOGGER.warning("the watch is not served: %s", error)
            return None

    def _metrics(self) -> Answer:
        process, watches = self.source()
        try:
            with self._beside_the_loop():
                body, kind = prometheus.exposition(process, watches)
        except ImportError:
            missing = prometheus.MISSING.encode()
            return Answer(missing, TEXT, HTTPStatus.NOT_IMPLEMENTED)
        return Answer(body, kind)

    def _state(self) -> Answer:
        self._freshen()
        with self._beside_the_loop():
            devices = [member.seen(elsewhere).state for member in list(self.members)]
            return Answer(encoded(self.state_of(devices)), JSON)

    def _beside_the_loop(self) -> AbstractContextManager[None]:
        """Return what stands back for the loop of the first watch while an answer is made."""
        return self.members[0].beside() if self.members else nullcontext()

    def state_of(self, devices: list[Any]) -> WatchState:
        """Return the state of the process with some of its watches."""
        kept = recording.kept(self.settings.folder)
        return WatchState(
            process=self.process(),
            unix_ns=time.time_ns(),
            devices=sharing(devices),
            recordings=[str(path) for path in kept],
        )

    def _record(self) -> Answer:
        written = self._record_all()
        body = encoded({"recordings": [str(path) for path in written]})
        status = HTTPStatus.OK if written else HTTPStatus.CONFLICT
        return Answer(body, JSON, status)

    def _tell_opentelemetry(self) -> None:
        try:
            opentelemetry.register(self.source)
        except Exception as error:
            LOGGER.warning("OpenTelemetry is not told: %s", described(error))

    # -- the file and the signal ---------------------------------------------------------------

    def _write_file(self) -> None:
        """Say in the folder of this user's watches that there is this process."""
        folder = self.settings.folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
                raise PermissionError(f"{folder} is another user's")
            path = folder / f"{self.pid}.json"
            draft = folder / f".{self.pid}.json.draft"
            draft.write_bytes(encoded(self.process()))
            draft.replace(path)
            self._file = path
        except OSError as error:
            LOGGER.warning("the watch is not listed in its folder: %s", error)

    def _take_signal(self) -> None:
        """Record on SIGUSR2, unless the application has a use for it."""
        usable = hasattr(signal, "SIGUSR2")
        in_main = threading.current_thread() is threading.main_thread()
        if usable and in_main and signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
            signal.signal(signal.SIGUSR2, self.ask_to_record)
            self._own_signal = True


_running: list[Runtime] = []  # one, or none
_joining = threading.Lock()


def join(member: Member, settings: Settings) -> Runtime:
    """Take a watch in; the first of a process starts what there is once."""
    with _joining:
        if not _running:
            _running.append(Runtime(settings))
        runtime = _running[0]
        runtime.add(member)
    return runtime


def leave(member: Member) -> None:
    """Let a watch go; the last of a process ends what there is once."""
    with _joining:
        for runtime in list(_running):
            if member in runtime.members:
                runtime.members.remove(member)
            if not runtime.members:
                _running.remove(runtime)
                runtime.close()


def close_all() -> None:
    """Close all watches, at the end of the process."""
    for runtime in list(_running):
        if runtime.pid == os.getpid():
            for member in list(runtime.members):
                member.close()


def _after_fork() -> None:
    global _joining  # noqa: PLW0603 - another thread of the parent may hold it for ever
    _joining = threading.Lock()
    ranges.LISTENERS.clear()
    while _running:
        _running.pop().abandon()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
