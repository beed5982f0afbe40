"""What a run tells of itself while it is at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from idlescope.engine.clock import Clock


class Running(Protocol):
    """An engine at work: its run's time, its device's busy time and the tokens so far."""

    @property
    def clock(self) -> Clock:
        """Return the clock that the run is timed by."""

    @property
    def tokens(self) -> int:
        """Return how many tokens there are so far."""

    def busy_ns(self) -> int:
        """Return the compute time of the run's steps so far."""


Progress = Callable[
    [str, Running], None
]  # called after each step, with the mode that runs, or the rate tried
