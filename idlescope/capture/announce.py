"""A step clock that also announces what it is told of, as it happens: NVTX ranges and marks, `record_function`.

Phases are nested ranges whose payload is the step; a step (from its batch's preparing until its tokens are taken in)
and the slot that it holds (until its tokens are retrieved) are ranges that overlap; a request's arrival, first token
and finish are marks whose payload is its id. A schedule that finds nothing to run has the number of the next step, and
is not followed by a prepare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from idlescope.capture.ranges import (
    COLOURS,
    DOMAIN,
    annotation,
    end_recorded,
    mark,
    nvtx_listens,
    recorded,
)
from idlescope.capture.step_clock import StepClock
from idlescope.engine.clock import PREPARE, RETRIEVE, UPDATE
from idlescope.engine.requests import Request
from idlescope.engine.scheduler import Emitted
from idlescope.trace.names.own_engine import ENGINE_PHASES, FIRST_TOKEN

REQUEST = "request"  # category of marks
ARRIVAL, FINISH = "arrival", "finish"  # beside FIRST_TOKEN


class Announcer(StepClock):
    """Implements the engine's `Recorder` for an engine of so many slots."""

    def __init__(self, now: Callable[[], int], slots: int) -> None:
        super().__init__(now)
        self._slots = slots
        self._listens = nvtx_listens()
        self._phases = (
            [annotation(name, name, 0) for name in ENGINE_PHASES] if self._listens else []
        )
        self._in_phase: int | None = None
        self._record: Any = None
        self._steps: dict[int, Any] = {}  # steps in flight, and their slots: handles of open ranges
        self._held: dict[int, Any] = {}

    def begin(self, phase: int, step: int) -> None:
        """Announce that host work on a step begins."""
        if self._listens:
            if phase == PREPARE:
                self._steps[step] = _started("step", "step", step)
                self._held[step] = _started(f"slot {'ABCDEFGH'[step % self._slots]}", "slot", step)
            self._phases[phase].attributes.payload = step
            self._phases[phase].__enter__()
            self._in_phase = phase
        self._record = recorded(ENGINE_PHASES[phase])

    def phase(self, phase: int, step: int, start: int, end: int) -> None:
        """Record host work on a step, which has just ended."""
        self._end_phase()
        if self._listens:
            if phase == RETRIEVE:
                _ended(self._held.pop(step))
            elif phase == UPDATE:
                _ended(self._steps.pop(step))
        super().phase(phase, step, start, end)

    def arrived(self, request: Request) -> None:
        """Mark that a request was queued."""
        mark(ARRIVAL, REQUEST, request.id)

    def emitted(self, emitted: Emitted) -> None:
        """Mark first tokens and finished requests."""
        if self._listens:
            for name, which in ((FIRST_TOKEN, emitted.first), (FINISH, emitted.finished)):
                for request in emitted.requests[which].tolist():
                    mark(name, REQUEST, request)

    def abandon(self) -> None:
        """End all ranges that are open: the engine has failed."""
        self._end_phase()
        for handles in (self._held, self._steps):
            while handles:
                _ended(handles.popitem()[1])

    def _end_phase(self) -> None:
        end_recorded(self._record)
        self._record = None
        if self._in_phase is not None:
            self._phases[self._in_phase].__exit__(None, None, None)
            self._in_phase = None


def _started(name: str, category: str, number: int) -> Any:
    import nvtx

    return nvtx.start_range(name, COLOURS[category], DOMAIN, category, number)


def _ended(handle: Any) -> None:
    import nvtx

    nvtx.end_range(handle)
