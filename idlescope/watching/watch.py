"""The watch of one loop and the device that it drives."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from threading import get_ident
from time import perf_counter_ns
from typing import Any, TypeVar

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.capture import ranges
from idlescope.capture.step_clock import WAIT_CALL
from idlescope.watching.rows import MOST_VALUES, Rows
from idlescope.watching.safety import LOGGER, described, guarded
from idlescope.watching.spans import LaunchSpan, NoDemandSpan, StepSpan, WaitSpan
from idlescope.watching.state import WatchState
from idlescope.watching.ways.base import DeviceWay
from idlescope.watching.ways.host import HostWay

Function = TypeVar("Function", bound=Callable[..., Any])


class Watch:
    """Watches the loop of the thread that makes its steps.

        watch = idlescope.watch()
        while serving:
            with watch.step(tokens=32, requests=32):
                with idlescope.range("prepare"):
                    ...
                with watch.launching("forward"):
                    graph.replay()
                with watch.waiting("tokens"):
                    event.synchronize()

    `way` is how the device is timed: "events", "activity", "host" (not at all), a `DeviceWay` of
    your own, or None for the best that there is; `steps` is how many the ring holds for a
    recording; see `watching/settings.py` for the rest. Nothing that goes wrong in here reaches the
    loop: the watch turns itself off, and says so in the log "idlescope".
    """

    def __init__(
        self,
        way: str | DeviceWay | None = None,
        device: int | None = None,
        steps: int | None = None,
        folder: str | Path | None = None,
        port: int | None = None,
        record_when: str | None = None,
        engine: str = "a loop",
        version: str = "",
        rank: int | None = None,
    ) -> None:
        self.off = ""
        self.rows = Rows()
        self.way: DeviceWay = HostWay() if way is None or isinstance(way, str) else way
        self._step_span, self._no_demand_span = StepSpan(self), NoDemandSpan(self)
        self._launch_spans: dict[str, LaunchSpan] = {}
        self._wait_spans: dict[str, WaitSpan] = {}
        self._thread = 0
        self._step_number = -1
        self._step_start = 0  # 0: none is open
        self._step_work = (StepKind.UNKNOWN.code, 0, 0)
        self._launch_number = 0
        self._launch_start = 0  # 0: none is open
        self._open_phases: list[int] = []  # their starts, the outermost first

    # -- steps ---------------------------------------------------------------------------------

    def step(
        self, tokens: int = 0, requests: int = 0, kind: StepKind | None = None
    ) -> StepSpan:
        """Return a context manager of one step, which has begun."""
        self.begin_step(tokens, requests, kind)
        return self._step_span

    def begin_step(
        self, tokens: int = 0, requests: int = 0, kind: StepKind | None = None
    ) -> None:
        """Begin a step, and end one that is open; for hooks whose step spans functions."""
        if self.off:
            return
        try:
            if self._step_start:
                self.end_step()
            if self._thread != get_ident():
                self._bind()
            self._step_work = (0 if kind is None else kind.code, tokens, requests)
            self._step_number += 1
            self._step_start = perf_counter_ns()
        except Exception as error:
            self.turn_off(described(error))

    def work(self, tokens: int, requests: int, kind: StepKind | None = None) -> None:
        """Say what the open step computes, where that is known only after it has begun."""
        self._step_work = (0 if kind is None else kind.code, tokens, requests)

    def end_step(self) -> None:
        """End the step that is open; nothing where none is."""
        step_start = self._step_start
        if self.off or not step_start:
            return
        try:
            kind, tokens, requests = self._step_work
            step_end = perf_counter_ns()
            self._step_start = 0
            rows = self.rows
            rows.steps.extend(
                (self._step_number, kind, step_start, step_end, tokens, requests)
            )
            if len(rows.calls) > MOST_VALUES or len(rows.steps) > MOST_VALUES:
                rows.shorten()
        except Exception as error:
            self.turn_off(described(error))

    def wrap(self, function: Function) -> Function:
        """Return a function, each call of which is one step.

        Everything in it launches, unless `launching` or `waiting` inside say otherwise.
        """

        @wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.step(), self.launching(getattr(function, "__name__", "step")):
                return function(*arguments, **named)

        return watched  # type: ignore[return-value]

    # -- what the host does in a step ----------------------------------------------------------

    def launching(self, name: str = "forward") -> LaunchSpan:
        """Return a context manager around a host call that issues device work."""
        span = self._launch_spans.get(name)
        if span is None:
            span = self._launch_spans[name] = LaunchSpan(
                self, self.rows.names[f"launch.{name}"]
            )
        return span

    def begin_launch(self) -> None:
        """Note that a call begins that issues device work; one within another counts with it."""
        if self.off:
            return
        try:
            self._launch_number += 1
            self._launch_start = launch_start = perf_counter_ns()
            self.way.begin(self._launch_number, launch_start)
        except Exception as error:
            self.turn_off(described(error))

    def end_launch(self, code: int) -> None:
        """Note that the call has returned; `code` is that of its name in `rows.names`."""
        launch_start = self._launch_start
        if self.off or not launch_start:
            return
        try:
            self.way.end(self._launch_number)
            launch_end = perf_counter_ns()
            self._launch_start = 0
            self.rows.calls.extend(
                (code, self._step_number, launch_start, launch_end, self._launch_number)
            )
        except Exception as error:
            self.turn_off(described(error))

    def waiting(self, name: str = "") -> WaitSpan:
        """Return a context manager in which the host is blocked until the device is done."""
        span = self._wait_spans.get(name)
        if span is None:
            span = self._wait_spans[name] = WaitSpan(
                self, self.rows.names[f"{WAIT_CALL} ({name})" if name else WAIT_CALL]
            )
        return span

    def begin_wait(self) -> None:
        """Note that the host is blocked from now on."""

    def end_wait(self, code: int, start: int) -> None:
        """Note that the host was blocked since `start`."""
        if self.off:
            return
        self.rows.calls.extend((code, self._step_number, start, perf_counter_ns(), 0))

    def no_demand(self) -> NoDemandSpan:
        """Return a context manager in which there is no request to work on."""
        return self._no_demand_span

    def begin_phase(self) -> None:
        """Note that a phase begins: `idlescope.range` calls it in the thread of the loop."""
        self._open_phases.append(perf_counter_ns())

    def end_phase(self, name: str) -> None:
        """Note that the innermost open phase ends, which is called so."""
        self.end_phase_of(self.rows.names[name])

    def end_phase_of(self, code: int) -> None:
        """Note that the innermost open phase ends; `code` is that of its name in `rows.names`."""
        phase_end = perf_counter_ns()
        phases = self.rows.phases
        if self._open_phases:
            phase_start = self._open_phases.pop()
            phases.extend((code, self._step_number, phase_start, phase_end))
            if len(phases) > MOST_VALUES:
                self.rows.shorten()

    # -- life ----------------------------------------------------------------------------------

    def state(self) -> WatchState:
        """Return what has been seen so far."""
        raise NotImplementedError

    def record(self, folder: str | Path | None = None) -> Path:
        """Write the last steps as a recording; return its folder."""
        raise NotImplementedError

    @guarded
    def close(self) -> None:
        """Stop watching; again: nothing."""
        self.turn_off("closed")

    def turn_off(self, reason: str) -> None:
        """Stop for good, and say why in the log unless it was asked for."""
        if self.off:
            return
        self.off = reason
        ranges.LISTENERS.pop(self._thread, None)
        if reason != "closed":
            LOGGER.warning("the watch of %s turned itself off: %s", self.way.name, reason)
        try:
            self.way.close()
        except Exception as error:
            LOGGER.debug("closing the watch: %s", described(error))

    def _bind(self) -> None:
        """Let `idlescope.range` tell this watch of the phases of the current thread."""
        ranges.LISTENERS.pop(self._thread, None)
        self._thread = get_ident()
        ranges.LISTENERS[self._thread] = self
