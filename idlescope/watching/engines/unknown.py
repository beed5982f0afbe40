"""Engines whose methods are not known: their CUDA graph replays are launches, torch's waits waits.

A step begins with the first replay after a wait: a loop waits for its tokens once a step, whether
they are those of this step or of the one before. A loop that never waits has a step a replay. The
watch begins at a replay, when there are graphs: they are timed by events, never by CUPTI.
"""

from __future__ import annotations

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.watching.engines.loop import Loop, harmless
from idlescope.watching.engines.replays import Replays, Waits
from idlescope.watching.ways.graph_captures import CAPTURES


class UnknownEngine:
    """Watches a loop by what it calls of torch."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.replays = Replays(loop, before=self.replay)
        self.waits = Waits(loop, after=self.waited)
        self._replays_since_wait = 0
        self._waits_seen = 0

    def install(self) -> None:
        """Wrap replays and waits."""
        self.replays.install()
        self.waits.install()

    @harmless
    def replay(self) -> None:
        """Begin a step where a replay is the first after a wait; the first replay of all starts."""
        CAPTURES.replayed = True
        self.loop.begin(None, None)
        if not self._replays_since_wait or not self._waits_seen:
            self.loop.begin_step(0, 0, StepKind.UNKNOWN)
        self._replays_since_wait += 1

    def waited(self) -> None:
        """Note that the loop has waited: the next replay begins a step."""
        self._waits_seen += 1
        self._replays_since_wait = 0
