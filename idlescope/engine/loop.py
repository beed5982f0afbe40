"""The step loop. One loop serves both modes: the mode is the depth of its pipeline.

depth 1, synchronous:   schedule N, prepare N, submit N, retrieve N, update N
depth 2, asynchronous:  schedule N+1, prepare N+1, submit N+1, retrieve N, update N      (two slots, by turns)
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from idlescope.engine.clock import PREPARE, RETRIEVE, SCHEDULE, SUBMIT, UPDATE
from idlescope.engine.devices.base import Device, DeviceOperation, Ticket
from idlescope.engine.requests import Request
from idlescope.engine.scheduler import Batch, Emitted, Scheduler
from idlescope.engine.slots import Slot
from idlescope.errors import EngineError, IdlescopeError


class Recorder(Protocol):
    """Takes down what each step did and when; times in nanoseconds on the device's clock."""

    def begin(self, phase: int, step: int) -> None:
        """Note that host work on a step begins; `phase` says when it has ended."""

    def phase(self, phase: int, step: int, start: int, end: int) -> None:
        """Record host work on a step; -1: a schedule that found nothing to run."""

    def arrived(self, request: Request) -> None:
        """Note that a request was queued."""

    def emitted(self, emitted: Emitted) -> None:
        """Note what a step yielded."""

    def abandon(self) -> None:
        """Note that the engine has failed: whatever has begun is over."""

    def wait(self, step: int, start: int, end: int) -> None:
        """Record that the host was blocked until a step's tokens were there."""

    def no_demand(self, start: int, end: int) -> None:
        """Record that there was no request to work on."""

    def operations(self, step: int, operations: Iterable[DeviceOperation]) -> None:
        """Record what a retired step ran on the device."""

    def overhead(self, start: int, end: int) -> None:
        """Record the time that recording itself took."""

    def counters(
        self, time: int, running: int, waiting: int, free_blocks: int, tokens: int
    ) -> None:
        """Record the state of the scheduler after a step; `tokens` is what the step yielded."""


class InFlight(NamedTuple):
    """A step that was submitted and not yet retrieved."""

    batch: Batch
    ticket: Ticket


def ignore(emitted: Emitted) -> None:
    """Take a step's tokens and do nothing with them: the default sink."""


def described(error: Exception) -> str:
    """Return what an error says and, of one that idlescope did not raise on purpose, the line that raised it."""
    if isinstance(error, IdlescopeError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"


class Engine:
    """Runs requests on an open device until all have ended. The depth of its pipeline is the number of slots.

    `emit` takes the tokens of every step: the hook for detokenising and streaming.
    """

    def __init__(
        self,
        device: Device,
        slots: Sequence[Slot],
        requests: Iterable[Request],
        recorder: Recorder,
        emit: Callable[[Emitted], None] = ignore,
    ) -> None:
        self.device, self.clock, self.recorder = device, device.clock, recorder
        self._arriving = deque(sorted(requests, key=lambda r: r.arrival_ns))
        stop_width = max((len(r.stop_ids) for r in self._arriving), default=0)
        self.scheduler = Scheduler(slots[0].shape, stop_width)
        for request in self._arriving:
            self.scheduler.check(request)
        self.depth, self.emit = len(slots), emit
        self.steps = 0
        self.tokens = 0
        self._at = 0  # the step being worked on
        self.in_flight: deque[InFlight] = deque()
        self._slots = list(slots)
        for slot in slots:
            slot.forget()

    def busy_ns(self) -> int:
        """Return the compute time of the run's steps so far."""
        return self.device.busy_ns()

    def run(self, on_step: Callable[[Engine], None] | None = None) -> None:
        """Step until every request has ended. `on_step` is called after each step.

        Its time is left out where the clock can do that, and is recorded as overhead where not.
        An exception leaves no step in flight and no block taken; it names the step.
        """
        try:
            while self.step():
                if on_step is not None:
                    start = self.clock.now()
                    with self.clock.paused():
                        on_step(self)
                    self.recorder.overhead(start, self.clock.now())
        except Exception as error:
            self._abandon()
            raise EngineError(f"step {self._at} failed: {described(error)}") from error
        except KeyboardInterrupt:
            self._abandon()
            raise

    def step(self) -> bool:
        """Submit the next batch, and finish the oldest step in flight if the pipeline is full or nothing was submitted.

        Returns whether there is more to do.
        """
        start = self._begin(SCHEDULE, self.steps)
        self._arrive(start)
        batch = self.scheduler.schedule(self.steps)
        if batch is None:
            self.recorder.phase(SCHEDULE, -1, start, self.clock.now())
        else:
            start = self._mark(SCHEDULE, batch.step, start, PREPARE)
            slot = self._slots[batch.step % self.depth]
            slot.fill(batch, self.scheduler.rows)
            start = self._mark(PREPARE, batch.step, start, SUBMIT)
            self.in_flight.append(InFlight(batch, self.device.submit(slot, batch)))
            self._mark(SUBMIT, batch.step, start)
            self.steps += 1
        if self.in_flight and (batch is None or len(self.in_flight) == self.depth):
            self._finish(*self.in_flight.popleft())
        elif batch is None:
            return self._await_arrival(start)
        return True

    def _finish(self, batch: Batch, ticket: Ticket) -> None:
        start = self._begin(RETRIEVE, batch.step)
        tokens = ticket.wait()
        self.recorder.wait(batch.step, start, self.clock.now())
        start = self._mark(RETRIEVE, batch.step, start, UPDATE)
        emitted = self.scheduler.update(batch, tokens, start)
        self.emit(emitted)
        self.recorder.emitted(emitted)
        end = self._mark(UPDATE, batch.step, start)
        self.tokens += emitted.tokens.size
        self.recorder.operations(batch.step, ticket.operations)
        scheduler = self.scheduler
        waiting, free = len(scheduler.waiting), scheduler.allocator.free
        self.recorder.counters(end, scheduler.running.size, waiting, free, emitted.tokens.size)
        self.recorder.overhead(end, self.clock.now())

    def _begin(self, phase: int, step: int) -> int:
        start = self.clock.now()
        self._at = step
        self.recorder.begin(phase, step)
        return start

    def _mark(self, phase: int, step: int, start: int, then: int | None = None) -> int:
        """End a phase, and begin the one after it on the same step; return the time."""
        end = self.clock.end_phase(phase, start)
        self.recorder.phase(phase, step, start, end)
        if then is not None:
            self.recorder.begin(then, step)
        return end

    def _arrive(self, now: int) -> None:
        while self._arriving and self._arriving[0].arrival_ns <= now:
            request = self._arriving.popleft()
            self.scheduler.add(request)
            self.recorder.arrived(request)

    def _await_arrival(self, start: int) -> bool:
        """Wait for the next request; return whether there is one."""
        if not self._arriving:
            assert not self.scheduler.waiting, (
                "requests wait, nothing runs and nothing will free a block"
            )
            return False
        self.clock.wait_until(self._arriving[0].arrival_ns)
        self.recorder.no_demand(start, self.clock.now())
        return True

    def _abandon(self) -> None:
        self.recorder.abandon()
        while self.in_flight:
            ticket = self.in_flight.popleft().ticket
            try:
                ticket.wait()
            except Exception:  # noqa: S112 - the first failure is the one to report; drain the others
                continue
        self.scheduler.abandon()
