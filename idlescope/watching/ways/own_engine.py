"""The times that a device of our own engine reports of each step, such as the CPU's worker's."""

from __future__ import annotations

import time

import numpy as np

from idlescope.trace.model import Device
from idlescope.watching.rows import row_table
from idlescope.watching.ways.base import Ended

FIELDS = ("launch", "stream", "kind", "name", "start", "end")
MOST_NAMES = 64


class OwnEngineWay:
    """Implements `DeviceWay`; `OwnEngineRecorder` says what was launched and what has ended."""

    tells_communication = False
    limits: tuple[str, ...] = ()

    def __init__(self, kind: str, device_name: str) -> None:
        self.name = kind
        self.device: Device | None = Device(0, 0, device_name, "engine")
        self._names: dict[str, int] = {}
        self._rows: list[int] = []
        self._in_flight: dict[int, int] = {}  # step -> when its first launch call began
        self.told_ns = 0  # the engine has told all that happened before

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of operations so far."""
        return tuple(self._names)

    def launched(self, step: int) -> None:
        """Note that a step is launched from now on."""
        self._in_flight[step] = self.now()

    def retired(self, step: int, rows: list[int]) -> None:
        """Note what a step ran: rows of `FIELDS`, one behind the other."""
        self._rows.extend(rows)
        self._in_flight.pop(step, None)

    def abandoned(self) -> None:
        """Note that nothing is in flight any more, and nothing more is told."""
        self._in_flight.clear()
        self.told_ns = self.now()

    def code(self, name: str) -> int:
        """Return the code of an operation's name; -1 where there are too many."""
        if name not in self._names and len(self._names) >= MOST_NAMES:
            return -1
        return self._names.setdefault(name, len(self._names))

    def begin(self, launch: int, start_ns: int) -> None:
        """Do nothing: the recorder says what is launched."""

    def end(self, launch: int) -> None:
        """Do nothing."""

    def ended(self) -> Ended:
        """Return what the steps ran that were retired since the last answer."""
        # first: what is retired meanwhile is in the rows, or waits for the next time
        until = min([self.told_ns, *list(self._in_flight.values())])
        size = len(self._rows)
        rows = row_table(self._rows[:size], FIELDS)
        del self._rows[:size]
        return Ended(
            **rows, communication=np.zeros(rows["start"].size, np.bool_), until_ns=until
        )

    def now(self) -> int:
        """Return the host's time."""
        return time.perf_counter_ns()

    def close(self) -> None:
        """Do nothing."""
