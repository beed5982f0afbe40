"""The step loop. One loop serves both modes: the mode is the depth of its pipeline.

depth 1, synchronous:   schedule N, prepare N, submit N, retrieve N, update N
depth 2, asynchronous:  schedule N+1, prepare N+1, submit N+1, retrieve N, update N

There is one slot per step in flight, used by turns.
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
    """Return what an error says.

    With the line that raised it, where idlescope did not raise it on purpose.
    """
    if isinstance(error, IdlescopeError):
        return str(error)
    failing_frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__}: {error} ({failing_frame.filename}:{failing_frame.lineno})"
    )


class Engine:
    """Runs requests on an open device until all have ended; as many steps are in flight as slots.

    `emit` takes the tokens of every step: the hook for detokenising and streaming.
    Raises ConfigError for a request that could never run.
    """

    def __init__(
        self,
        device: Device,
        slots: Sequence[Slot],
        requests: Iterable[Request],
        recorder: Recorder,
        emit: Callable[[Emitted], None] = ignore,
    ) -> None:
        self.device = device
        self.clock = device.clock
        self.recorder = recorder
        self.emit = emit

        self._arriving = deque(sorted(requests, key=lambda request: request.arrival_ns))
        stop_width = max((len(request.stop_ids) for request in self._arriving), default=0)
        self.scheduler = Scheduler(slots[0].shape, stop_width)
        for request in self._arriving:
            self.scheduler.check(request)

        self.steps = 0  # submitted so far
        self.tokens = 0  # emitted so far
        self._current_step = 0  # the one being worked on
        self.depth = len(slots)
        self.in_flight: deque[InFlight] = deque()
        self._slots = list(slots)
        for device_slot in slots:
            device_slot.forget()

    def busy_ns(self) -> int:
        """Return the compute time of the run's steps so far."""
        return self.device.busy_ns()

    def run(self, on_step: Callable[[Engine], None] | None = None) -> None:
        """Step until every request has ended. `on_step` is called after each step.

        Its time is left out where the clock can do that, and is recorded as overhead where not.
        An exception leaves no step in flight and no block taken. Raises EngineError naming the
        step.
        """
        try:
            while self.step():
                if on_step is not None:
                    run_start = self.clock.now()
                    with self.clock.paused():
                        on_step(self)
                    self.recorder.overhead(run_start, self.clock.now())
        except Exception as error:
            self._abandon()
            raise EngineError(
                f"step {self._current_step} failed: {described(error)}"
            ) from error
        except KeyboardInterrupt:
            self._abandon()
            raise

    def step(self) -> bool:
        """Submit the next batch; finish the oldest step where the pipeline is full or nothing new.

        Returns whether there is more to do.
        """
        phase_start = self._begin(SCHEDULE, self.steps)
        self._take_arrivals(phase_start)
        next_batch = self.scheduler.schedule(self.steps)
        if next_batch is None:
            self.recorder.phase(SCHEDULE, -1, phase_start, self.clock.now())
        else:
            self._submit(next_batch, phase_start)
        pipeline_full = len(self.in_flight) == self.depth
        if self.in_flight and (next_batch is None or pipeline_full):
            self._finish(*self.in_flight.popleft())
        elif next_batch is None:
            return self._await_arrival(phase_start)
        return True

    def _submit(self, batch: Batch, schedule_start: int) -> None:
        """Prepare a batch whose schedule phase ends now, and issue it."""
        phase_start = self._mark(SCHEDULE, batch, schedule_start, PREPARE)
        device_slot = self._slots[batch.step % self.depth]
        device_slot.fill(batch, self.scheduler.rows)
        phase_start = self._mark(PREPARE, batch, phase_start, SUBMIT)
        ticket = self.device.submit(device_slot, batch)
        self.in_flight.append(InFlight(batch, ticket))
        self._mark(SUBMIT, batch, phase_start)
        self.steps += 1

    def _finish(self, batch: Batch, ticket: Ticket) -> None:
        """Wait for a step's tokens, take them in and hand them out."""
        phase_start = self._begin(RETRIEVE, batch.step)
        tokens = ticket.wait()
        self.recorder.wait(batch.step, phase_start, self.clock.now())
        phase_start = self._mark(RETRIEVE, batch, phase_start, UPDATE)
        emitted = self.scheduler.update(batch, tokens, phase_start)
        self.emit(emitted)
        self.recorder.emitted(emitted)
        update_end = self._mark(UPDATE, batch, phase_start)

        # what follows is the recorder's own cost
        token_count = emitted.tokens.size
        self.tokens += token_count
        self.recorder.operations(batch.step, ticket.operations)
        running_count = self.scheduler.running.size
        waiting_count = len(self.scheduler.waiting)
        free_blocks = self.scheduler.allocator.free
        self.recorder.counters(
            update_end, running_count, waiting_count, free_blocks, token_count
        )
        self.recorder.overhead(update_end, self.clock.now())

    def _begin(self, phase: int, step: int) -> int:
        """Begin a phase; return the time."""
        phase_start = self.clock.now()
        self._current_step = step
        self.recorder.begin(phase, step)
        return phase_start

    def _mark(
        self, phase: int, batch: Batch, start: int, next_phase: int | None = None
    ) -> int:
        """End a phase, and begin the one after it on the same step; return the time."""
        phase_end = self.clock.end_phase(phase, start, batch.rows.size)
        self.recorder.phase(phase, batch.step, start, phase_end)
        if next_phase is not None:
            self.recorder.begin(next_phase, batch.step)
        return phase_end

    def _take_arrivals(self, now: int) -> None:
        """Queue the requests that have arrived by now."""
        while self._arriving and self._arriving[0].arrival_ns <= now:
            request = self._arriving.popleft()
            self.scheduler.add(request)
            self.recorder.arrived(request)

    def _await_arrival(self, start: int) -> bool:
        """Wait for the next request; return whether there is one."""
        if not self._arriving:
            stuck_note = "requests wait, nothing runs and nothing will free a block"
            assert not self.scheduler.waiting, stuck_note
            return False
        self.clock.wait_until(self._arriving[0].arrival_ns)
        self.recorder.no_demand(start, self.clock.now())
        return True

    def _abandon(self) -> None:
        """Drain what is in flight after a failure, and give every block back."""
        self.recorder.abandon()
        while self.in_flight:
            ticket = self.in_flight.popleft().ticket
            try:
                ticket.wait()
            except Exception:  # noqa: S112 - the first failure is the one to report
                continue
        self.scheduler.abandon()
