"""The clocks that a run is timed by: the machine's own, or a virtual one that waiting moves on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from idlescope.hardware.latencies import Cost, HostWork
from idlescope.trace.names.own_engine import ENGINE_PHASES

SCHEDULE, PREPARE, SUBMIT, RETRIEVE, UPDATE = range(len(ENGINE_PHASES))

# How a fixed host cost (`--host-ms`) is spread over the phases, API calls apart: as in the
# synchronous decode loop of transformers on an H200 (schedule_batch 71 us, prepare_batch_tensors
# and get_model_kwargs 2,010 us, update_batch less its wait 48 us; medians of 24 steps,
# torch.profiler, 2026-11-23).
HOST_SHARES = {SCHEDULE: 0.03, PREPARE: 0.95, UPDATE: 0.02}


PhaseCosts = Mapping[int, Cost]  # of phases; what is not in it costs nothing


def spread(host_ns: int) -> dict[int, int]:
    """Return the cost of each phase of a step that costs the host so much in all, calls apart."""
    phase_cost = {
        phase_name: round(host_ns * phase_share)
        for phase_name, phase_share in HOST_SHARES.items()
    }
    phase_cost[PREPARE] += host_ns - sum(phase_cost.values())
    return phase_cost


def phase_costs(work: HostWork) -> PhaseCosts:
    """Return the costs of phases that a host profile says."""
    return {SCHEDULE: work.schedule, PREPARE: work.prepare, UPDATE: work.update}


def fixed_costs(host_ns: int) -> PhaseCosts:
    """Return the costs of phases of a step that costs the host so much in all, calls apart."""
    return {
        phase_name: Cost(phase_cost) for phase_name, phase_cost in spread(host_ns).items()
    }


class Clock(Protocol):
    """Host time in integer nanoseconds from the start of the run."""

    @property
    def real(self) -> bool:
        """Return whether the host's own time counts: False where all of its costs are fixed."""

    def start(self) -> None:
        """Begin the run: the time is 0 now."""

    def now(self) -> int:
        """Return the time."""

    def end_phase(self, phase: int, start: int, rows: int) -> int:
        """Return when a phase of a step of so many rows ends, after any cost that is fixed for it.

        It began at `start`.
        """

    def wait_until(self, time_ns: int) -> None:
        """Block the host until a time."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what runs meanwhile, such as a progress bar, out of the time where possible."""


class SystemClock:
    """The machine's own time.

    With `host_ns` the host is kept busy until a step has cost it that much.
    """

    real = True

    def __init__(self, host_ns: int | None = None) -> None:
        self._cost = spread(host_ns or 0)
        self._submit_ns = 0  # of the last step: a part of its fixed cost
        self.start()

    def start(self) -> None:
        """Begin the run: the time is 0 now."""
        self._zero = time.perf_counter_ns()

    def now(self) -> int:
        """Return the time."""
        return self.at(time.perf_counter_ns())

    def at(self, perf_counter_ns: int) -> int:
        """Return the run's time at a reading of `time.perf_counter_ns`, of any process."""
        return perf_counter_ns - self._zero

    def wait_until(self, time_ns: int) -> None:
        """Sleep until a time."""
        while (remaining_ns := time_ns - self.now()) > 0:
            time.sleep(remaining_ns / 1e9)

    def end_phase(self, phase: int, start: int, rows: int) -> int:
        """Return the end of a phase: now, but not before its fixed cost has been worked off."""
        phase_end = self.now()
        if phase == SUBMIT:
            self._submit_ns = phase_end - start
        elif phase in self._cost:
            phase_until = start + self._cost[phase]
            if phase == PREPARE:
                phase_until -= self._submit_ns
            while phase_end < phase_until:
                phase_end = self.now()
        return phase_end

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Run what is not the host's work; its time cannot be taken out."""
        yield


class VirtualClock:
    """Real host work is timed as it happens; waiting for the modelled device jumps ahead.

    With `costs` the real work is not timed at all: each phase costs the host exactly what they say,
    whatever the machine, so that a run is deterministic.
    """

    def __init__(self, costs: PhaseCosts | None = None) -> None:
        self.real = costs is None
        self._costs = costs or {}
        self._paused_at: int | None = None
        self.start()

    def start(self) -> None:
        """Begin the run: the time is 0 now."""
        self._jumped = -time.perf_counter_ns() if self.real else 0

    def now(self) -> int:
        """Return the time; it stands still while paused."""
        if self._paused_at is not None:
            return self._paused_at
        if self.real:
            return time.perf_counter_ns() + self._jumped
        return self._jumped

    def spend(self, ns: int) -> None:
        """Make the host busy that much longer: the cost of an API call that is modelled."""
        self._jumped += ns

    def wait_until(self, time_ns: int) -> None:
        """Block the host until a time on the virtual clock; no time passes for real."""
        self._jumped += max(0, time_ns - self.now())

    def end_phase(self, phase: int, start: int, rows: int) -> int:
        """Return the end of a phase: now, or where costs are fixed its start plus its cost."""
        if not self.real and phase in self._costs:
            self._jumped = max(self._jumped, start + self._costs[phase].of(rows))
        return self.now()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the clock still while real time passes."""
        self._paused_at = paused_at = self.now()
        try:
            yield
        finally:
            self._paused_at = None
            if self.real:
                self._jumped = paused_at - time.perf_counter_ns()
