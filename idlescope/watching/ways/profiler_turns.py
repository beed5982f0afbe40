"""CUPTI serves one tool at a time: the watch lets torch.profiler have it, and comes back."""

from __future__ import annotations

from typing import Any, Protocol
from weakref import WeakSet

from idlescope.watching.patching import around, wrap


class Yielding(Protocol):
    """What gives CUPTI away and takes it again."""

    def give_way(self) -> None:
        """Leave CUPTI to another tool, which begins now."""

    def come_back(self) -> None:
        """Take CUPTI again: the other tool has ended."""


_YIELDING: WeakSet[Any] = WeakSet()


def take_turns(yielding: Yielding) -> None:
    """Tell it from now on when torch.profiler begins and ends; as long as it lives."""
    from torch.autograd.profiler import profile

    # Whoever profiles calls these: `with torch.profiler.profile(…)`, its `start` and `stop`, and
    # the engines' own profilers.
    wrap(profile, "_prepare_trace", around(before=_begins))
    wrap(profile, "__exit__", around(after=_ended))
    _YIELDING.add(yielding)


def leave_turns(yielding: Yielding) -> None:
    """Tell it no more."""
    _YIELDING.discard(yielding)


def _begins(profiler: Any, *arguments: Any) -> None:
    if getattr(profiler, "use_device", None):
        for yielding in list(_YIELDING):
            yielding.give_way()


def _ended(profiler: Any, *arguments: Any) -> None:
    if getattr(profiler, "use_device", None):
        for yielding in list(_YIELDING):
            yielding.come_back()
