"""A step clock that also announces what it is told of, as it happens, to tools that listen.

Under NVTX phases are nested ranges whose payload is the step; a step (from its batch's preparing
until its tokens are taken in) and the slot that it holds (until its tokens are retrieved) are
ranges that overlap; a request's arrival, first token and finish are marks whose payload is its id.
A schedule that finds nothing to run has the number of the next step, and is not followed by a
prepare. torch.profiler has the phases by `record_function`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from idlescope.capture.ranges import (
    DOMAIN,
    annotation,
    begin_recorded,
    colour_of,
    end_recorded,
    mark,
    nvtx_listens,
)
from idlescope.capture.step_clock import StepClock
from idlescope.engine.clock import PREPARE, RETRIEVE, UPDATE
from idlescope.engine.requests import Request
from idlescope.engine.scheduler import Emitted
from idlescope.trace.names.own_engine import ENGINE_PHASES, FIRST_TOKEN

REQUEST = "request"  # category of marks
ARRIVAL, FINISH = "arrival", "finish"  # marks, beside FIRST_TOKEN
SLOT_LETTERS = "ABCDEFGH"


class Announcer(StepClock):
    """Implements the engine's `Recorder` for an engine of so many slots."""

    def __init__(
        self, now: Callable[[], int], slots: int, folder: Path | None = None
    ) -> None:
        super().__init__(now, folder=folder)
        self._slots = slots
        self._listens = nvtx_listens()
        self._annotations: list[Any] = []  # a reused NVTX range for each phase
        if self._listens:
            self._annotations = [
                annotation(phase_name, phase_name, 0) for phase_name in ENGINE_PHASES
            ]
        self._open_phase: int | None = None
        self._open_record: Any = None  # of torch.profiler
        self._open_steps: dict[
            int, Any
        ] = {}  # handles of NVTX ranges, by the step's number
        self._open_slots: dict[int, Any] = {}

    def begin(self, phase: int, step: int) -> None:
        """Announce that host work on a step begins."""
        if self._listens:
            if phase == PREPARE:
                slot_text = f"slot {SLOT_LETTERS[step % self._slots]}"
                self._open_steps[step] = _start("step", "step", step)
                self._open_slots[step] = _start(slot_text, "slot", step)
            self._annotations[phase].attributes.payload = step
            self._annotations[phase].__enter__()
            self._open_phase = phase
        self._open_record = begin_recorded(ENGINE_PHASES[phase])

    def phase(self, phase: int, step: int, start: int, end: int) -> None:
        """Record host work on a step, which has just ended."""
        self._end_phase()
        if self._listens:
            if phase == RETRIEVE:
                _end(self._open_slots.pop(step))
            elif phase == UPDATE:
                _end(self._open_steps.pop(step))
        super().phase(phase, step, start, end)

    def arrived(self, request: Request) -> None:
        """Mark that a request was queued."""
        mark(ARRIVAL, REQUEST, request.id)

    def emitted(self, emitted: Emitted) -> None:
        """Mark first tokens and finished requests."""
        if self._listens:
            for event_name, event_rows in (
                (FIRST_TOKEN, emitted.first),
                (FINISH, emitted.finished),
            ):
                for request_id in emitted.requests[event_rows].tolist():
                    mark(event_name, REQUEST, request_id)

    def abandon(self) -> None:
        """End all ranges that are open: the engine has failed."""
        self._end_phase()
        for handles in (self._open_slots, self._open_steps):
            while handles:
                _end(handles.popitem()[1])

    def _end_phase(self) -> None:
        end_recorded(self._open_record)
        self._open_record = None
        if self._open_phase is not None:
            self._annotations[self._open_phase].__exit__(None, None, None)
            self._open_phase = None


def _start(name: str, category: str, number: int) -> Any:
    """Start an NVTX range that may overlap others; return its handle."""
    import nvtx

    return nvtx.start_range(name, colour_of(category), DOMAIN, category, number)


def _end(handle: Any) -> None:
    import nvtx

    nvtx.end_range(handle)
