"""What a watch needs of a device: when what it launched began and ended there."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from idlescope.trace.model import Device
from idlescope.trace.table import Bool, Int64


class Ended(NamedTuple):
    """Operations that have ended: columns of one row each, and until when they are all there.

    Times are ns of `time.perf_counter_ns`. Rows may come in any order.
    """

    launch: (
        Int64  # number of the launch call that issued it (`DeviceWay.begin`); 0: not known
    )
    stream: Int64  # number of the stream, any small integer
    kind: Int64  # OperationKind
    name: Int64  # index into `DeviceWay.names`; -1: as the launch is called
    start: Int64
    end: Int64
    communication: Bool  # it moves or reduces data between devices
    # Every operation that began before it is in this answer or an earlier one. Where something that
    # was launched has not ended, that is the start of the oldest such launch call, else `now()`.
    until_ns: int
    # The API call that issued each, where that is known by itself (0: not known, as where `launch`
    # is all that is known); None: of none.
    call_start: Int64 | None = None
    call_end: Int64 | None = None

    def call_times(self) -> tuple[Int64, Int64]:
        """Return the starts and ends of the API calls, 0 where not known."""
        if self.call_start is None or self.call_end is None:
            unknown = np.zeros(self.start.size, np.int64)
            return unknown, unknown
        return self.call_start, self.call_end

    @classmethod
    def nothing(cls, until_ns: int) -> Ended:
        """Return an answer without any operation."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, none, none, none, np.empty(0, np.bool_), until_ns)


class DeviceWay(Protocol):
    """Times what a loop issues to one device. Nothing here may block or synchronise the device.

    `begin` and `end` are on the hot path, in the thread of the loop: a few microseconds at most.
    `ended` is called by another thread, several times a second.
    """

    @property
    def name(self) -> str:
        """Return "events", "activity", "cpu", "host", …: the label `way` of what is exported."""

    @property
    def device(self) -> Device | None:
        """Return the device that is watched; None where there are no device times."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of operations so far; it only grows, and not beyond some thousands."""

    @property
    def tells_communication(self) -> bool:
        """Return whether `Ended.communication` is known."""

    @property
    def limits(self) -> tuple[str, ...]:
        """Return what this way cannot see, in sentences; a recording carries them."""

    def begin(self, launch: int, start_ns: int) -> None:
        """Note that a host call begins that issues device work.

        `launch` is its number: from 1, ascending.
        """

    def end(self, launch: int) -> None:
        """Note that the call has returned: all that it issues has been issued."""

    def ended(self) -> Ended:
        """Return what has ended since the last answer, without waiting for anything."""

    def now(self) -> int:
        """Return the host's time, ns of `time.perf_counter_ns`."""

    def close(self) -> None:
        """Give back what is held; what has not ended is dropped."""
