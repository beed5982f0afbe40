"""Which way a device is timed: one class a way."""

from __future__ import annotations

from idlescope.errors import ConfigError
from idlescope.watching.safety import LOGGER
from idlescope.watching.ways.base import DeviceWay
from idlescope.watching.ways.cupti import CuptiError
from idlescope.watching.ways.host import HostWay

UNAVAILABLE = (ConfigError, CuptiError, ImportError)


def way_called(name: str | None, device: int | None = None) -> DeviceWay:
    """Return the way of this name, or the next best where there is no such here, which is logged.

    None: events where there is a CUDA device, else the host alone.
    """
    if name == "activity":
        from idlescope.watching.ways.activity import ActivityWay

        try:
            return ActivityWay(device)
        except UNAVAILABLE as error:
            LOGGER.warning("no records of CUPTI, so timing by events: %s", error)
    if name != "host":
        from idlescope.watching.ways.events import EventsWay

        try:
            return EventsWay(device)
        except UNAVAILABLE as error:
            log = LOGGER.info if name is None else LOGGER.warning
            log("device times are not watched: %s", error)
    return HostWay()
