"""What is watched from outside: a process with a watch, or a server that only has counters."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

import msgspec

from idlescope.capture.server import counters
from idlescope.capture.server.address import Server
from idlescope.capture.server.client import Client, NotStartedError
from idlescope.capture.server.counters import Reading
from idlescope.capture.server.exported import PREFIXES, Exporter, exported
from idlescope.errors import ServerError
from idlescope.watching.state import SCHEMA, DeviceState, WatchedProcess, WatchState
from idlescope.watching.view.document import WatchedDocument
from idlescope.watching.view.figures import between

LATELY_NS = 10_000_000_000
ANSWER_S = 10.0  # that a state may take: the first of a process imports what foresees
# What a watch says is up to three seconds old (`runtime.FRESH_NS`): so long, and there is something
# between two states.
SHORTEST_NS = 7_000_000_000
KEPT = 16  # readings, one a second: those of the last ten seconds, and some to spare
# The last two are this machine, too.
LOOPBACKS = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")  # noqa: S104
NO_ANSWER = "it does not answer"
NOT_SERVED = "it serves nothing: its log says why"
UNREACHED = "it cannot be reached"
ENDED = "it has ended"
WATCH_ENDED = "its watch has ended"
FOR_GOOD = (NOT_SERVED, ENDED, WATCH_ENDED)  # what does not answer may be back


class Span(Enum):
    """Of which time figures are."""

    BEGUN = auto()  # since the watch began
    SEEN = auto()  # since it was first asked
    LATELY = auto()  # of the last ten seconds


class Member(Protocol):
    """One process or server, which is asked again and again."""

    gone: str  # why it told nothing the last time; "" where it did

    @property
    def label(self) -> str:
        """Return what it is called."""

    @property
    def needs_time(self) -> bool:
        """Return whether one answer tells nothing yet."""

    def read(self) -> None:
        """Ask it once more."""

    def document(self, span: Span) -> WatchedDocument:
        """Return what is known of it."""


class WatchedMember:
    """A process with a watch."""

    needs_time = False

    def __init__(
        self, ask: Callable[[], WatchState | None], url: str, process: WatchedProcess
    ) -> None:
        self.gone = ""
        self.process = process
        self._ask = ask
        self._url = url
        self._first: WatchState | None = None
        self._states: deque[WatchState] = deque(maxlen=KEPT)

    @property
    def label(self) -> str:
        """Return engine, pid and rank; the machine, too, where it is another."""
        host = Server(self._url, "").address.hostname or "" if self._url else ""
        where = "" if host in (*LOOPBACKS, "") else f"{host} "
        rank = "" if self.process.rank is None else f", rank {self.process.rank}"
        return f"{where}{self.process.pid}{rank}"

    def read(self) -> None:
        """Ask for its state."""
        try:
            state = self._ask() if self._url else None
        except NotStartedError:
            self.gone = self._why_unreached()
            return
        except ServerError as error:
            self.gone = str(error)
            return
        if state is None:
            self.gone = NO_ANSWER if self._url else NOT_SERVED
            return
        if _identity(state.process) != _identity(self.process):
            self._first = None  # another process has taken the address
            self._states.clear()
        self.gone, self.process = "", state.process
        self._first = self._first or state
        self._states.append(state)

    def document(self, span: Span) -> WatchedDocument:
        """Return the figures of its watches."""
        now = self._states[-1] if self._states else None
        before = self._before(span)
        started = before.unix_ns if before else self.process.started_unix_ns
        elapsed_ns = now.unix_ns - started if now else 0
        return WatchedDocument(
            label=self.label,
            url=self._url,
            gone=self.gone,
            seconds=elapsed_ns / 1e9,
            figures=[
                between(_same(before, place, device), device, elapsed_ns)
                for place, device in enumerate(now.devices if now else ())
            ],
            state=now,
            exported=None,
        )

    def _before(self, span: Span) -> WatchState | None:
        """Return the state from which on figures count; None: from the beginning.

        Between two states of nearly the same time there may be nothing yet.
        """
        if span is Span.BEGUN or not self._states:
            return None
        newest = self._states[-1].unix_ns
        if span is Span.SEEN:
            first = self._first
            is_enough = first is not None and newest - first.unix_ns >= SHORTEST_NS
            return first if is_enough else None
        recent = [
            state
            for state in self._states
            if SHORTEST_NS <= newest - state.unix_ns <= LATELY_NS + 10**9
        ]
        return recent[0] if recent else None

    def _why_unreached(self) -> str:
        """Return why nobody listens: of this machine's processes it is known which are there."""
        is_local = Server(self._url, "").address.hostname in LOOPBACKS
        if not is_local:
            return UNREACHED
        return WATCH_ENDED if is_alive(self.process.pid) else ENDED


class ServerMember:
    """A server of vLLM, SGLang or Dynamo without a watch inside."""

    needs_time = True

    def __init__(self, client: Client, exporter: Exporter, first: Reading) -> None:
        self.gone = ""
        self._client = client
        self._exporter = exporter
        self._first = first
        self._readings: deque[Reading] = deque([first], maxlen=KEPT)

    @property
    def label(self) -> str:
        """Return whose server it is, and where."""
        return f"{self._exporter.engine} {self._client.server.address.netloc}"

    def read(self) -> None:
        """Read its counters."""
        try:
            reading = counters.read_named(self._client, PREFIXES)
        except NotStartedError:
            self.gone = UNREACHED
            return
        self.gone = NO_ANSWER if reading is None else ""
        if reading is not None:
            self._readings.append(reading)

    def document(self, span: Span) -> WatchedDocument:
        """Return what its counters tell; a server tells nothing of the time before."""
        last = self._readings[-1]
        recent = [
            reading
            for reading in self._readings
            if last.time_s - reading.time_s <= LATELY_NS / 1e9 + 1
        ]
        readings = recent if span is Span.LATELY else [self._first, *recent]
        told = exported(self._exporter, readings)
        return WatchedDocument(
            label=self.label,
            url=self._client.server.url,
            gone=self.gone,
            seconds=told.seconds,
            figures=[],
            state=None,
            exported=told,
        )


def ask_state(client: Client) -> WatchState | None:
    """Return the state that a watch serves; None where there is no such page, or no answer.

    Raises NotStartedError where nothing can be reached, ServerError where the page is another.
    """
    for place in client.server.places("state"):
        page = client.get(place, ANSWER_S)
        if page is not None:
            return _decoded(page, client.server.url)
    return None


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine is there; False where that cannot be asked."""
    if os.name != "posix":
        return False  # asking would end it
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _decoded(page: str, url: str) -> WatchState | None:
    """Return the state that a page holds; None where it is not of a watch at all."""
    try:
        state = msgspec.json.decode(page, type=WatchState)
    except (msgspec.DecodeError, RecursionError) as error:
        if '"process"' not in page[:200]:
            return None
        raise ServerError(
            f"{url} is a watch of another version of idlescope ({error}): use the same on both "
            "sides"
        ) from error
    if state.schema != SCHEMA:
        raise ServerError(
            f"{url} is a watch of idlescope {state.process.idlescope}, whose state has schema "
            f"{state.schema}, not {SCHEMA}: use the same on both sides"
        )
    return state


def _identity(process: WatchedProcess) -> tuple[int, int]:
    return process.pid, process.started_unix_ns


def _same(before: WatchState | None, place: int, device: DeviceState) -> DeviceState | None:
    """Return the earlier state of the same watch; None where it began since."""
    if before is None or place >= len(before.devices):
        return None
    earlier = before.devices[place]
    is_same = (earlier.device, earlier.engine) == (device.device, device.engine)
    return earlier if is_same and _has_grown(earlier, device) else None


def _has_grown(before: DeviceState, now: DeviceState) -> bool:
    """Return whether no count of one state is above that of the other: they only grow."""
    counts = [
        (before.busy_ns or 0, now.busy_ns or 0),
        (before.step_ns, now.step_ns),
        (before.tokens, now.tokens),
        (before.overhead_ns, now.overhead_ns),
        (sum(before.steps.values()), sum(now.steps.values())),
    ]
    counts += [
        (time_ns, (now.idle_ns or {}).get(cause, 0))
        for cause, time_ns in (before.idle_ns or {}).items()
    ]
    return all(earlier <= later for earlier, later in counts)
