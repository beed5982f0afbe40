"""Whether the recorder of our own engine tells a watch, too (`watching/own_engine.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from idlescope.engine.devices.base import Device
from idlescope.engine.loop import Recorder

# makes, of a device and a recorder, the recorder of one mode of a run
Watched = Callable[[Device, Recorder], AbstractContextManager[Recorder]]


@contextmanager
def unwatched(_: Device, recorder: Recorder) -> Iterator[Recorder]:
    """Give the recorder as it is."""
    yield recorder
