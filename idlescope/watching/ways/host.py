"""No device times: steps and phases only, and idle is "cannot tell"."""

from __future__ import annotations

import time

from idlescope.trace.model import Device
from idlescope.watching.ways.base import Ended


class HostWay:
    """Implements `DeviceWay` where nothing says when the device worked."""

    name = "host"
    device: Device | None = None
    names: tuple[str, ...] = ()
    tells_communication = False
    limits = ("the device was not timed: how idle it was cannot be told",)

    def begin(self, launch: int, start_ns: int) -> None:
        """Do nothing."""

    def end(self, launch: int) -> None:
        """Do nothing."""

    def ended(self) -> Ended:
        """Return that there is nothing to know."""
        return Ended.nothing(self.now())

    def now(self) -> int:
        """Return the host's time."""
        return time.perf_counter_ns()

    def close(self) -> None:
        """Do nothing."""
