"""Which way a watch takes, of those that there are here."""

from __future__ import annotations

from idlescope.errors import ConfigError
from idlescope.watching.settings import WAYS
from idlescope.watching.ways.base import DeviceWay
from idlescope.watching.ways.host import HostWay


def choose(name: str | None, device: int | None) -> DeviceWay:
    """Return a way by its name; None: the best that there is. Raises ConfigError for another."""
    if name not in (None, *WAYS):
        raise ConfigError(f"way={name!r}: give one of {', '.join(WAYS)}")
    return HostWay()
