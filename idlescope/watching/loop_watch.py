"""What a watch takes down in the thread of the loop: the hot path, a few microseconds per step."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from time import perf_counter_ns
from typing import Any, TypeVar

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.capture import ranges
from idlescope.trace.names.own_engine import WAIT_CALL
from idlescope.watching.rows import (
    COLLECTION,
    LAUNCH_PREFIX,
    NO_DEMAND,
    RESERVED_NAMES,
    Rows,
)
from idlescope.watching.safety import described
from idlescope.watching.spans import LaunchSpan, NoDemandSpan, StepSpan, WaitSpan
from idlescope.watching.ways.base import DeviceWay

Function = TypeVar("Function", bound=Callable[..., Any])
SAMPLED = 64  # one step in so many says what the watch itself costs
LONGEST_SAMPLE_NS = 100_000
MANY_CALLS = (
    16_384  # values in the list of calls: they are settled before they are too many
)


def wait_call(name: str) -> str:
    """Return what a wait is called in `rows`; `name` is what is waited for."""
    return f"{WAIT_CALL} ({name})" if name else WAIT_CALL


class LoopWatch:
    """The loop's side of a `Watch`; whatever goes wrong in it calls `turn_off`."""

    def __init__(self, way: DeviceWay) -> None:
        self.off = ""
        self.way = way
        self.rows = Rows()
        self.due_ns = 0  # from then on a wait is a good moment to settle
        self.thread = 0  # of the loop
        self.last_wait_ns = 0
        self._step_span, self._no_demand_span = StepSpan(self), NoDemandSpan(self)
        self._launch_spans: dict[str, LaunchSpan] = {}
        self._wait_spans: dict[str, WaitSpan] = {}
        self._step_number = -1
        self._step_start = 0  # 0: none is open
        self._step_work = (0, 0, 0)  # kind, tokens, requests
        self._launch_number = 0
        self._launch_start = 0  # 0: none is open
        self._implicit_launch = -1  # the code of the call that `wrap` is in; -1: none
        self._says_launches = False  # within what `wrap` wraps
        self._open_wait: tuple[int, int] | None = None
        self._collection_start = 0  # 0: none is open
        self._overhead_ns = 0
        self.when_off: Callable[[], None] | None = None  # called when it is off

    def turn_off(self, reason: str) -> None:
        """Stop for good."""
        raise NotImplementedError

    def good_moment(self, now_ns: int) -> None:
        """Let another thread settle what has happened: the loop waits for its device."""
        raise NotImplementedError

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
            if ranges.LISTENERS.get(get_ident()) is not self.rows:
                self.bind()  # another thread makes the steps now, or another watch's ended
            self._step_work = (0 if kind is None else kind.code, tokens, requests)
            self.rows.is_writing = True
            self._step_number += 1
            self._step_start = step_start = perf_counter_ns()
            self.rows.is_writing = False
            if sampled_at:
                self._count_overhead(step_start - sampled_at)
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
            rows = self.rows
            kind, tokens, requests = self._step_work
            rows.is_writing = True
            step_end = perf_counter_ns()
            rows.steps.extend(
                (self._step_number, kind, step_start, step_end, tokens, requests)
            )
            self._step_start = 0
            rows.is_writing = False
            if not self._step_number % SAMPLED:
                self.rows.shorten()
                if len(self.rows.calls) > MANY_CALLS:
                    self.good_moment(step_end)
                self._count_overhead(perf_counter_ns() - step_end)
        except Exception as error:
            self.turn_off(described(error))

    def wrap(self, function: Function) -> Function:
        """Return a function, each call of which is one step.

        Everything in it launches, but what is in `waiting`; where `launching` is used inside, only
        that does.
        """
        code = self.rows.names[LAUNCH_PREFIX + getattr(function, "__name__", "step")]

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
            span = LaunchSpan(self, self.rows.names[LAUNCH_PREFIX + name])
            self._launch_spans[name] = span
        return span

    @property
    def is_launching(self) -> bool:
        """Return whether a launch call is open."""
        return self._launch_start > 0

    def begin_launch(self) -> None:
        """Note that a call begins that issues device work; nothing where one is open."""
        if self.off or self._launch_start:
            return
        try:
            self._launch_number = launch = self._launch_number + 1
            self.rows.is_writing = True
            self._launch_start = launch_start = perf_counter_ns()
            self.way.begin(launch, launch_start)
            self.rows.is_writing = False
            if not launch % SAMPLED:
                self._count_overhead(perf_counter_ns() - launch_start)
        except Exception as error:
            self.turn_off(described(error))

    def end_launch(self, code: int) -> None:
        """Note that the call has returned; `code` is that of its name in `rows.names`."""
        launch_start = self._launch_start
        if self.off or not launch_start:
            return
        try:
            rows = self.rows
            launch = self._launch_number
            sampled_at = 0 if launch % SAMPLED else perf_counter_ns()
            rows.is_writing = True
            self.way.end(launch)
            launch_end = perf_counter_ns()
            rows.calls.extend((code, self._step_number, launch_start, launch_end, launch))
            self._launch_start = 0
            rows.is_writing = False
            if sampled_at:
                self._count_overhead(launch_end - sampled_at)
        except Exception as error:
            self.turn_off(described(error))

    def waiting(self, name: str = "") -> WaitSpan:
        """Return a context manager in which the host is blocked until the device is done."""
        span = self._wait_spans.get(name)
        if span is None:
            span = WaitSpan(self, self.rows.names[wait_call(name)])
            self._wait_spans[name] = span
        return span

    def begin_wait(self, code: int) -> None:
        """Note that the host is blocked from now on: a good moment to settle what has happened."""
        if self.off:
            return
        try:
            if self._implicit_launch >= 0:
                self.end_launch(self._implicit_launch)
            self.rows.is_writing = True
            wait_start = perf_counter_ns()
            self._open_wait = (code, wait_start)
            self.rows.is_writing = False
            if wait_start >= self.due_ns:
                self.good_moment(wait_start)
        except Exception as error:
            self.turn_off(described(error))

    def end_wait(self) -> None:
        """Note that the host is not blocked any more."""
        wait = self._open_wait
        if self.off or wait is None:
            return
        try:
            rows = self.rows
            code, wait_start = wait
            rows.is_writing = True
            wait_end = perf_counter_ns()
            rows.calls.extend((code, self._step_number, wait_start, wait_end, 0))
            self._open_wait = None
            rows.is_writing = False
            self.last_wait_ns = wait_end - wait_start
            if self._implicit_launch >= 0:
                self.begin_launch()
        except Exception as error:
            self.turn_off(described(error))

    @property
    def wait_start(self) -> int:
        """Return since when the loop waits for its device, ns; 0: it does not."""
        wait = self._open_wait
        return 0 if wait is None else wait[1]

    def no_demand(self) -> NoDemandSpan:
        """Return a context manager in which there is no request to work on."""
        return self._no_demand_span

    def begin_no_demand(self) -> None:
        """Note that there is no request from now on."""
        self.begin_phase(RESERVED_NAMES[NO_DEMAND])

    def end_no_demand(self) -> None:
        """Note that there is a request again, whatever phase began meanwhile and has not ended."""
        names = self.rows.open_phases[::2]
        if NO_DEMAND in names:
            self._end_phase(2 * names.index(NO_DEMAND))

    def begin_phase(self, name: str) -> None:
        """Begin a phase; for hooks, where `with idlescope.range` does not fit."""
        if self.off:
            return
        try:
            self.rows.begin(self.rows.names[name])
        except Exception as error:
            self.turn_off(described(error))

    def end_phase(self) -> None:
        """End what is open and began last: a phase, or the time without requests."""
        open_values = len(self.rows.open_phases)
        if open_values:
            self._end_phase(open_values - 2)

    def _end_phase(self, place: int) -> None:
        if self.off:
            return
        try:
            self.rows.end(place)
        except Exception as error:
            self.turn_off(described(error))

    def _begin_implicit(self, code: int) -> None:
        """Begin the launch that all of a wrapped function is, unless it says its launches."""
        if not self._says_launches:
            self._implicit_launch = code
            self.begin_launch()

    def _end_implicit(self) -> None:
        code, self._implicit_launch = self._implicit_launch, -1
        if code >= 0:
            self.end_launch(code)

    def _count_overhead(self, sample_ns: int) -> None:
        """Count what one of SAMPLED cost; of a longer one, another thread had the rest."""
        self._overhead_ns += SAMPLED * min(sample_ns, LONGEST_SAMPLE_NS)

    def bind(self) -> None:
        """Let the current thread be the loop's: its `idlescope.range` and collections are told."""
        if ranges.LISTENERS.get(self.thread) is self.rows:
            del ranges.LISTENERS[self.thread]
        self.thread = get_ident()
        ranges.LISTENERS[self.thread] = self.rows

    def _on_collection(self, moment: str, _: dict[str, int]) -> None:
        """Take down a run of the garbage collector in the thread of the loop."""
        if get_ident() != self.thread:
            return
        rows = self.rows
        was_writing, rows.is_writing = rows.is_writing, True  # it may come amid any writing
        if moment == "start":
            self._collection_start = perf_counter_ns()
        elif self._collection_start:
            collection = (COLLECTION, self._step_number, self._collection_start)
            rows.phases.extend((*collection, perf_counter_ns()))
            self._collection_start = 0
        rows.is_writing = was_writing
