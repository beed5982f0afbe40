"""CUDA graph replays and waits: what every engine on torch calls, whatever its methods are."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from idlescope.watching.engines.loop import FORWARD, Loop, harmless
from idlescope.watching.patching import around, when_imported, wrap

WAIT = "event"  # what waits of torch's events and streams are called


class Replays:
    """Makes replays within the steps of a loop launch calls."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._opened = False  # the launch call that is open is this replay

    def install(self) -> None:
        """Wrap torch's graph replay, when torch is imported."""
        when_imported("torch.cuda.graphs", self._wrap)

    def _wrap(self, graphs: ModuleType) -> None:
        wrap(graphs.CUDAGraph, "replay", around(self.before_replay, self.after_replay))

    @harmless
    def before_replay(self, graph: Any) -> None:
        """Begin a launch call, unless one is open that the replay belongs to."""
        if not self.loop.is_open:
            self.loop.open(FORWARD)
            self._opened = self.loop.is_open

    @harmless
    def after_replay(self, graph: Any) -> None:
        """End it."""
        if self._opened:
            self._opened = False
            self.loop.shut()


class Waits:
    """Makes torch's waits in the thread of a loop waits of its watch."""

    def __init__(self, loop: Loop, name: str = WAIT) -> None:
        self.loop = loop
        self._name = name
        self._span: Any = None

    def install(self) -> None:
        """Wrap torch's waits, when torch is imported."""
        when_imported("torch.cuda.streams", self._wrap_streams)
        when_imported("torch.cuda", self._wrap_device)

    def _wrap_streams(self, streams: ModuleType) -> None:
        for owner in (streams.Event, streams.Stream):
            wrap(owner, "synchronize", around(self.before_wait, self.after_wait))

    def _wrap_device(self, cuda: ModuleType) -> None:
        wrap(cuda, "synchronize", around(self.before_wait, self.after_wait))

    @harmless
    def before_wait(self, *arguments: Any, **named: Any) -> None:
        """Begin a wait; what was being launched has been."""
        loop = self.loop
        if loop.watch is None or not loop.is_here() or self._span is not None:
            return
        loop.shut()
        self._span = loop.watch.waiting(self._name)
        self._span.__enter__()

    @harmless
    def after_wait(self, *arguments: Any, **named: Any) -> None:
        """End it."""
        if self._span is not None and self.loop.is_here():
            span, self._span = self._span, None
            span.__exit__(None, None, None)
