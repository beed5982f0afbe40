"""What the plugins of engines share: when they watch at all, and with what."""

from __future__ import annotations

import sys
from collections.abc import Callable

from idlescope.watching.engines.loop import Loop
from idlescope.watching.engines.versions import Known, installed
from idlescope.watching.safety import LOGGER, described
from idlescope.watching.settings import Settings
from idlescope.watching.watch import Watch

NO_CUDA = -1  # a device that cannot be timed


def register(
    known: Known, install: Callable[[Loop], None], asked: bool = False
) -> Loop | None:
    """Watch an engine of a known version by its hooks, another by its graph replays and waits.

    Does nothing unless it is `asked` for, by the program or the environment; never raises.
    """
    try:
        settings = Settings.read()
        if not (asked or settings.on) or known.package in _REGISTERED:
            return _REGISTERED.get(known.package)
        version = engine_version(known.package)
        loop = Loop(starter(settings, known.package, version))
        _REGISTERED[known.package] = loop
        if known.holds(version):
            install(loop)
        else:
            watch_unknown(loop, f"{known.package} {version} is not {known}")
    except Exception as error:
        LOGGER.warning("%s is not watched: %s", known.package, described(error))
        return None
    return loop


_REGISTERED: dict[
    str, Loop
] = {}  # by package: engines load a plugin once a process, or twice


def engine_version(package: str) -> str:
    """Return the version of an engine that is imported or installed."""
    module = sys.modules.get(package)
    return installed(package) or str(getattr(module, "__version__", "") or "")


def starter(
    settings: Settings, engine: str, version: str
) -> Callable[[int | None, int | None], Watch]:
    """Return what makes the watch of a loop: of a device, by a rank."""

    def start(device: int | None, rank: int | None) -> Watch:
        way = "host" if device == NO_CUDA else settings.way
        index = None if device == NO_CUDA else device
        return Watch(way=way, device=index, engine=engine, version=version, rank=rank)

    return start


def before_context(*arguments: object, **named: object) -> None:
    """Turn CUPTI on if it is asked for: it costs less before CUDA has a context; never raises."""
    try:
        if Settings.read().way == "activity":
            from idlescope.watching.ways.cupti import EARLY

            EARLY.start()
    except Exception as error:  # the watch tries again, and says why not
        LOGGER.info("CUPTI was not turned on early: %s", described(error))


def watch_unknown(loop: Loop, reason: str) -> None:
    """Watch an engine by its graph replays and waits, and say why in the log."""
    from idlescope.watching.engines.unknown import UnknownEngine

    LOGGER.warning("%s: watched by its CUDA graph replays and waits", reason)
    UnknownEngine(loop).install()


def demand(loop: Loop, *found: bool) -> None:
    """Give up an engine's hooks where a method is missing that they cannot do without."""
    if not all(found):
        watch_unknown(loop, "methods of the engine were not found")
