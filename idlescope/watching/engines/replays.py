"""CUDA graph replays and waits: what every engine on torch calls, whatever its methods are."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from types import ModuleType
from typing import Any

from idlescope.watching.engines.loop import FORWARD, Loop, launching
from idlescope.watching.loop_watch import wait_call
from idlescope.watching.patching import Call, Wrapping, when_imported, wrap

WAIT = "event"  # what waits of torch's events and streams are called


class Replays:
    """Makes replays within the steps of a loop launch calls; `before` is called ahead of each."""

    def __init__(self, loop: Loop, before: Callable[[], None] | None = None) -> None:
        self._wrapping = launching(loop, FORWARD, before)  # or part of one that is open

    def install(self) -> None:
        """Wrap torch's graph replay, when torch is imported."""
        when_imported("torch.cuda.graphs", self.wrap)

    def wrap(self, graphs: ModuleType) -> None:
        """Wrap it in the module that has it."""
        wrap(graphs.CUDAGraph, "replay", self._wrapping)


class Waits:
    """Makes torch's waits in the thread of a loop waits of its watch; `after` is called then."""

    def __init__(self, loop: Loop, after: Callable[[], None] | None = None) -> None:
        self._wrapping = waiting(loop, WAIT, after)

    def install(self) -> None:
        """Wrap torch's waits, when torch is imported."""
        when_imported("torch.cuda.streams", self.wrap_streams)
        when_imported("torch.cuda", self.wrap_device)

    def wrap_streams(self, streams: ModuleType) -> None:
        """Wrap those for events and streams."""
        for owner in (streams.Event, streams.Stream):
            wrap(owner, "synchronize", self._wrapping)

    def wrap_device(self, cuda: ModuleType) -> None:
        """Wrap that for all of a device."""
        wrap(cuda, "synchronize", self._wrapping)


def open_wait(loop: Loop, waited_for: str = wait_call(WAIT)) -> bool:
    """Begin a wait, unless one is open or this is no thread of the loop; return whether it did."""
    watch = loop.watch
    if loop.active != get_ident() or loop.is_waiting or watch is None:
        return False
    loop.is_waiting = True
    loop.shut()  # what is launched has been
    watch.begin_wait(loop.rows.names[waited_for])
    return True


def close_wait(loop: Loop) -> None:
    """End the wait of the loop that is open; nothing where none is."""
    if loop.is_waiting and loop.watch is not None:
        loop.is_waiting = False
        loop.watch.end_wait()


def waiting(
    loop: Loop, name: str = WAIT, after: Callable[[], None] | None = None
) -> Wrapping:
    """Return what makes calls of a function waits of the loop; in other threads they tell nothing.

    `after` is called when one has ended.
    """
    waited_for = wait_call(name)

    def wrapping(call: Call) -> Call:
        @wraps(call)
        def wait(*arguments: Any, **named: Any) -> Any:
            if not open_wait(loop, waited_for):
                return call(*arguments, **named)
            try:
                return call(*arguments, **named)
            finally:
                close_wait(loop)
                if after is not None:
                    after()

        return wait

    return wrapping
