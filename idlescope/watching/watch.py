"""The watch of one loop and the device that it drives."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from pathlib import Path
from threading import get_ident
from time import perf_counter_ns
from typing import Any, TypeVar

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.capture import ranges
from idlescope.errors import ConfigError
from idlescope.trace.model import Trace
from idlescope.trace.names.own_engine import WAIT_CALL
from idlescope.watching import recording, runtime
from idlescope.watching.account import Account, OpenRows
from idlescope.watching.families import Seen
from idlescope.watching.foresight import STEPS as FORESEEN_STEPS
from idlescope.watching.foresight import Foresight
from idlescope.watching.overhead import phase_cost_ns
from idlescope.watching.ring import Ring, Watched, trace_of
from idlescope.watching.rows import COLLECTION, NO_DEMAND, Rows
from idlescope.watching.rules import Rule, Trigger
from idlescope.watching.safety import LOGGER, described
from idlescope.watching.settings import WAYS, Settings
from idlescope.watching.shown import device_state
from idlescope.watching.spans import LaunchSpan, NoDemandSpan, StepSpan, WaitSpan
from idlescope.watching.state import WatchState
from idlescope.watching.ways.base import DeviceWay
from idlescope.watching.ways.choice import way_called

Function = TypeVar("Function", bound=Callable[..., Any])
CLOSED = "closed"
SAMPLED = 64  # one step in so many says what the watch itself costs


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
    your own, or None for the best that there is. `steps` is how many the ring holds for a
    recording, `folder` where recordings go, `port` that of `/metrics` and `/state` (0: a free one),
    `record_when` a rule such as "idle > 10% for 30s"; what is None is as the environment says
    (`watching/settings.py`). Raises ConfigError for what makes no sense. Nothing that goes wrong
    later reaches the loop: the watch turns itself off, and says so in the log "idlescope".
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
        settings = Settings.read().changed(steps, folder, port, record_when)
        rule = Rule.parse(settings.record_when) if settings.record_when else None
        self.way = _chosen(way, settings, device)
        self.off = ""
        self.engine, self.version, self.rank = engine, version, rank
        self.settings = settings
        self.rows = Rows()
        self.steps_in_phases = False  # whether phases say for which step they are
        self.due_ns = 0

        # on the hot path
        self._step_span, self._no_demand_span = StepSpan(self), NoDemandSpan(self)
        self._launch_spans: dict[str, LaunchSpan] = {}
        self._wait_spans: dict[str, WaitSpan] = {}
        self._thread = 0
        self._step_number = -1
        self._step_start = 0  # 0: none is open
        self._step_work = (0, 0, 0)  # kind, tokens, requests
        self._launch_number = 0
        self._launch_start = 0  # 0: none is open
        self._implicit_launch = -1  # the code of the call that `wrap` is in; -1: none
        self._says_launches = False  # within what `wrap` wraps
        self._open_wait: tuple[int, int] | None = None
        self._collection_start = 0
        self._overhead_ns = 0

        # in another thread
        self._settling = threading.Lock()
        self._account = Account(self.way.device)
        self._ring = Ring(settings.steps)
        self._foresight = Foresight()
        self._trigger = Trigger(rule) if rule is not None else None
        gc.callbacks.append(self._on_collection)
        self._runtime = runtime.join(self, settings)

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
        """Begin a step, and end one that is open; for hooks whose step spans functions.

        `kind` is StepKind.EMPTY for a step without any request's work; None: not told.
        """
        if self.off:
            return
        sampled_at = 0 if self._step_number % SAMPLED else perf_counter_ns()
        try:
            if self._step_start:
                self.end_step()
            if self._thread != get_ident():
                self._bind()
            self._step_work = (0 if kind is None else kind.code, tokens, requests)
            self._step_number += 1
            self._step_start = step_start = perf_counter_ns()
            if sampled_at:
                self._overhead_ns += SAMPLED * (step_start - sampled_at)
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
            step_end = perf_counter_ns()
            self._step_start = 0
            kind, tokens, requests = self._step_work
            self.rows.steps.extend(
                (self._step_number, kind, step_start, step_end, tokens, requests)
            )
            if not self._step_number % SAMPLED:
                self.rows.shorten()
                self._overhead_ns += SAMPLED * (perf_counter_ns() - step_end)
        except Exception as error:
            self.turn_off(described(error))

    def wrap(self, function: Function) -> Function:
        """Return a function, each call of which is one step.

        Everything in it launches, but what is in `waiting`; where `launching` is used inside, only
        that does.
        """
        code = self.rows.names[f"launch.{getattr(function, '__name__', 'step')}"]

        @wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.step():
                self._begin_implicit(code)
                try:
                    return function(*arguments, **named)
                finally:
                    self._end_implicit()

        return watched  # type: ignore[return-value]

    # -- what the host does in a step ----------------------------------------------------------

    def launching(self, name: str = "forward") -> LaunchSpan:
        """Return a context manager around a host call that issues device work."""
        if self._implicit_launch >= 0:
            self._says_launches = True
            self._end_implicit()
        span = self._launch_spans.get(name)
        if span is None:
            span = LaunchSpan(self, self.rows.names[f"launch.{name}"])
            self._launch_spans[name] = span
        return span

    def begin_launch(self) -> None:
        """Note that a call begins that issues device work; one within another counts with it."""
        if self.off or self._launch_start:
            return
        try:
            self._launch_number = launch = self._launch_number + 1
            self._launch_start = launch_start = perf_counter_ns()
            self.way.begin(launch, launch_start)
            if not launch % SAMPLED:
                self._overhead_ns += SAMPLED * (perf_counter_ns() - launch_start)
        except Exception as error:
            self.turn_off(described(error))

    def end_launch(self, code: int) -> None:
        """Note that the call has returned; `code` is that of its name in `rows.names`."""
        launch_start = self._launch_start
        if self.off or not launch_start:
            return
        try:
            launch = self._launch_number
            sampled_at = 0 if launch % SAMPLED else perf_counter_ns()
            self.way.end(launch)
            launch_end = perf_counter_ns()
            self.rows.calls.extend(
                (code, self._step_number, launch_start, launch_end, launch)
            )
            self._launch_start = 0
            if sampled_at:
                self._overhead_ns += SAMPLED * (launch_end - sampled_at)
        except Exception as error:
            self.turn_off(described(error))

    def waiting(self, name: str = "") -> WaitSpan:
        """Return a context manager in which the host is blocked until the device is done."""
        span = self._wait_spans.get(name)
        if span is None:
            call = f"{WAIT_CALL} ({name})" if name else WAIT_CALL
            span = self._wait_spans[name] = WaitSpan(self, self.rows.names[call])
        return span

    def begin_wait(self, code: int) -> None:
        """Note that the host is blocked from now on: a good moment to settle what has happened."""
        if self.off:
            return
        try:
            if self._implicit_launch >= 0:
                self.end_launch(self._implicit_launch)
            wait_start = perf_counter_ns()
            self._open_wait = (code, wait_start)
            if wait_start >= self.due_ns:
                self.due_ns = wait_start + runtime.SETTLE_NS
                self._runtime.wake.set()
        except Exception as error:
            self.turn_off(described(error))

    def end_wait(self) -> None:
        """Note that the host is not blocked any more."""
        wait = self._open_wait
        if self.off or wait is None:
            return
        try:
            self.rows.calls.extend(
                (wait[0], self._step_number, wait[1], perf_counter_ns(), 0)
            )
            self._open_wait = None
            if self._implicit_launch >= 0:
                self.begin_launch()
        except Exception as error:
            self.turn_off(described(error))

    def no_demand(self) -> NoDemandSpan:
        """Return a context manager in which there is no request to work on."""
        return self._no_demand_span

    def begin_no_demand(self) -> None:
        """Note that there is no request from now on."""
        if not self.off:
            self.rows.open_phases.extend((NO_DEMAND, perf_counter_ns()))

    def begin_phase(self, name: str) -> None:
        """Begin a phase; for hooks, where `with idlescope.range` does not fit."""
        if not self.off:
            self.rows.open_phases.extend((self.rows.names[name], perf_counter_ns()))

    def end_phase(self) -> None:
        """End what is open and began last: a phase, or the time without requests."""
        rows = self.rows
        if rows.open_phases and not self.off:
            phase_start = rows.open_phases.pop()
            rows.phases.extend((rows.open_phases.pop(), -1, phase_start, perf_counter_ns()))

    def _begin_implicit(self, code: int) -> None:
        """Begin the launch that all of a wrapped function is, unless it says its launches."""
        if not self._says_launches:
            self._implicit_launch = code
            self.begin_launch()

    def _end_implicit(self) -> None:
        code, self._implicit_launch = self._implicit_launch, -1
        if code >= 0:
            self.end_launch(code)

    # -- what it has seen ----------------------------------------------------------------------

    def settle(self) -> None:
        """Take in what has happened; in the thread of the runtime, once a second."""
        if self.off:
            return
        begun_ns = time.thread_time_ns()
        try:
            with self._settling:
                ended = self.way.ended()
                still_open = OpenRows(
                    self.rows.open_phases[:], self._open_wait, self._step_number
                )
                taken = self.rows.take()
                phases = taken.phases["name"].size
                self._overhead_ns += round(phases * phase_cost_ns())
                fresh = self._account.settle(
                    ended, taken, still_open, tuple(self.rows.names)
                )
                self._ring.add(taken, fresh)
            if self._trigger is not None:
                until = self._account.until
                if self._trigger.fires(self._account.history, until):
                    LOGGER.info("%s: %s", self.settings.record_when, self.record_next())
        except Exception as error:
            self.turn_off(described(error))
        self._overhead_ns += time.thread_time_ns() - begun_ns

    @property
    def way_name(self) -> str:
        """Return how the device is timed."""
        return self.way.name

    @property
    def lost(self) -> int:
        """Return how many rows were dropped because nobody took them in time."""
        return self.rows.lost + self._account.dropped

    def seen(self, foresee: bool = False) -> Seen:
        """Return what has been seen; with what asynchronous batching would give if asked."""
        told = None
        totals = self._account.totals
        if foresee and self.way.device is not None and not self.off:
            step_count = totals.step_time.count
            told = self._foresight.look(lambda: self.trace(FORESEEN_STEPS), step_count)
        with self._settling:
            state = device_state(self, self._account, told, self._overhead_ns)
            return Seen(
                state, deepcopy(totals), "" if state.device < 0 else str(state.device)
            )

    def state(self) -> WatchState:
        """Return what has been seen so far, up to now as far as that is known."""
        self.settle()
        return self._runtime.state_of([self.seen(foresee=True).state])

    def trace(self, steps: int | None = None) -> Trace:
        """Return the last so many steps, all of the ring unless told, as a Trace."""
        with self._settling:
            kept = self._ring.tables(steps)
            until = self._account.until
        watched = Watched(
            way=self.way.name,
            limits=tuple(self.way.limits),
            engine=self.engine,
            version=self.version,
            rank=self.rank,
            steps_in_phases=self.steps_in_phases,
        )
        return trace_of(
            kept,
            until,
            tuple(self.rows.names),
            self.way.names,
            self.way.device,
            watched,
            time.time_ns() - perf_counter_ns(),
        )

    def record(self, folder: str | Path | None = None) -> Path:
        """Write the last steps as a recording; return its folder.

        It goes beside the others of this watch unless a folder is given. Raises OutputExistsError
        where that holds anything, OSError where it cannot be written.
        """
        self.settle()
        if folder is None:
            return self.record_next()
        return recording.write(self.trace(), Path(folder))

    def record_next(self) -> Path:
        """Write a recording beside the others, of which so many are kept as the settings say."""
        settings = self.settings
        return recording.write_next(self.trace(), settings.folder, settings.recordings)

    # -- life ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop watching, once all that has ended is taken in; again: nothing."""
        self.settle()
        if not self.off:
            self.forget(CLOSED)
            self._close_way()
        runtime.leave(self)

    def turn_off(self, reason: str) -> None:
        """Stop for good after an error of ours, and say so: in the log, and in what is exported."""
        if self.off:
            return
        self.forget(reason)
        LOGGER.warning("the watch of %s turned itself off: %s", self.engine, reason)
        self._close_way()

    def _close_way(self) -> None:
        try:
            self.way.close()
        except Exception as error:
            LOGGER.debug("closing the watch: %s", described(error))

    def forget(self, reason: str) -> None:
        """Be off, and hear nothing any more."""
        self.off = reason
        if ranges.LISTENERS.get(self._thread) is self.rows:
            del ranges.LISTENERS[self._thread]
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def _bind(self) -> None:
        """Let `idlescope.range` tell this watch of the phases of the current thread."""
        if ranges.LISTENERS.get(self._thread) is self.rows:
            del ranges.LISTENERS[self._thread]
        self._thread = get_ident()
        ranges.LISTENERS[self._thread] = self.rows

    def _on_collection(self, moment: str, _: dict[str, int]) -> None:
        """Take down a run of the garbage collector in the thread of the loop."""
        if get_ident() != self._thread:
            return
        if moment == "start":
            self._collection_start = perf_counter_ns()
        elif self._collection_start:
            collection = (COLLECTION, self._step_number, self._collection_start)
            self.rows.phases.extend((*collection, perf_counter_ns()))


def _chosen(
    way: str | DeviceWay | None, settings: Settings, device: int | None
) -> DeviceWay:
    """Return the way that is asked for. Raises ConfigError for a name that is none."""
    if way is not None and not isinstance(way, str):
        return way
    if way not in (None, *WAYS):
        raise ConfigError(f"way={way!r}: give one of {', '.join(WAYS)}, or none")
    return way_called(way or settings.way, device)
