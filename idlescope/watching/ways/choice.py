"""Which way a device is timed: one class a way."""

from __future__ import annotations

from idlescope.errors import ConfigError
from idlescope.watching.safety import LOGGER
from idlescope.watching.ways.base import DeviceWay
from idlescope.watching.ways.cupti import EARLY, CuptiError
from idlescope.watching.ways.host import HostWay

UNAVAILABLE = (ConfigError, CuptiError, ImportError)


def way_called(name: str | None, device: int | None = None) -> DeviceWay:
    """Return the way of this name, or the next best where there is no such here, which is logged.

    None: events where there is a CUDA device, else the host alone. What another way was asked for
    in vain is the first of the limits of the way that is returned.
    """
    why_not = ""
    if name == "activity":
        from idlescope.watching.ways.activity import ActivityWay

        try:
            return ActivityWay(device)
        except UNAVAILABLE as error:
            why_not = f"no records of CUPTI, so timing by events: {error}"
            LOGGER.warning(why_not)
            EARLY.give_up()
    if name != "host":
        from idlescope.watching.ways.events import EventsWay

        try:
            way = EventsWay(device)
            way.why_not = why_not
            return way
        except UNAVAILABLE as error:
            log = LOGGER.info if name is None else LOGGER.warning
            log("device times are not watched: %s", error)
    return HostWay()
