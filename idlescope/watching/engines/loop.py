"""What the hooks of an engine tell its watch: one loop a process, whose watch begins late.

The watch is made when the process is found to drive a device, so that other processes of a server
(its front end, its tokenizer) have none; until then, and once it is off, hooks do next to nothing:
they compare `Loop.active` with their thread. Hooks of calls that a step makes many of are made to
cost a microsecond at most: no object, no argument that is handed on, one reading of the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from time import perf_counter_ns
from typing import Any

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.watching.patching import Call, Wrapping
from idlescope.watching.rows import LAUNCH_PREFIX, Rows
from idlescope.watching.safety import LOGGER, described
from idlescope.watching.watch import Watch

# What hooks call the phases of a step: as our own engine does.
SCHEDULE, PREPARE, UPDATE, RECEIVE = "schedule", "prepare", "update", "receive requests"
FORWARD, SAMPLE = "forward", "sample"  # what is launched
TOKENS = "tokens"  # what is waited for

StartWatch = Callable[[int | None, int | None], Watch]  # of a device, by a rank


class Loop:
    """The loop of this process and its watch, as hooks see them.

    `start` makes the watch. What goes wrong here turns the watch off (`harmless`); the engine
    never sees it. `active` is the thread of the loop while it is watched and has requests, else 0.
    """

    def __init__(self, start: StartWatch) -> None:
        self._start = start
        self.watch: Watch | None = None
        self.rows = Rows()  # those of the watch, once there is one
        self.active = 0
        self.off = ""
        self._thread = 0  # of the loop: the one that makes the steps
        self._open_launch = ""  # the name of the launch call that is open
        self.is_waiting = False
        self._prepare_depth = (
            -1
        )  # how many phases were open before that one; -1: it is not open
        self._no_demand: Any = None  # the span that is open

    @property
    def watches(self) -> bool:
        """Return whether there is a watch that is on."""
        return self.watch is not None and not self.watch.off and not self.off

    def begin(self, device: int | None, rank: int | None, overlaps: bool = False) -> None:
        """Make the watch, unless there is one; `overlaps` is the engine's setting of batching."""
        if self.watch is None and not self.off:
            self.watch = watch = self._start(device, rank)
            self.rows = watch.rows
            watch.steps_begin_late = True  # with the forward pass: scheduling comes before
            watch.overlaps = overlaps
            watch.when_off = self._watch_is_off

    def is_here(self) -> bool:
        """Return whether this is the thread of a loop that is watched."""
        return self._thread == get_ident() and self.watches

    def turn_off(self, reason: str) -> None:
        """Stop watching, and say why."""
        self.off = reason
        self.active = 0
        if self.watch is not None:
            self.watch.turn_off(reason)
        else:
            LOGGER.warning("nothing is watched: %s", reason)

    def _watch_is_off(self) -> None:
        self.active = 0

    # -- steps ---------------------------------------------------------------------------------

    def begin_step(self, tokens: int, requests: int, kind: StepKind) -> None:
        """Begin a step, which ends the one before and the time without requests."""
        watch = self.watch
        if watch is None or watch.off or self.off:
            self.active = 0
            return
        self._thread = self.active = get_ident()
        if self._no_demand is not None:
            self.demand_begins()
        watch.begin_step(tokens, requests, kind)

    def demand_ends(self) -> None:
        """Note that there is no request from now on; the step that is open ends."""
        if self._no_demand is not None or self.watch is None or not self.is_here():
            return
        self.shut()
        self.active = 0
        self.watch.end_step()
        self._no_demand = self.watch.no_demand()
        self._no_demand.__enter__()

    def demand_begins(self) -> None:
        """Note that there are requests again."""
        if self._no_demand is not None:
            self._no_demand.__exit__(None, None, None)
            self._no_demand = None

    @property
    def has_demand(self) -> bool:
        """Return whether there are requests, as far as is known."""
        return self._no_demand is None

    # -- preparing -----------------------------------------------------------------------------

    def begin_prepare(self) -> None:
        """Begin to prepare what is launched, which is a phase."""
        if self.active == get_ident():
            rows = self.rows
            self._prepare_depth = len(rows.open_phases)
            rows.begin(rows.names[PREPARE])

    def end_prepare(self) -> None:
        """End it, if it is open and nothing is within it."""
        depth = self._prepare_depth
        if depth >= 0 and len(self.rows.open_phases) == depth + 2:
            self.rows.end(depth)
            self._prepare_depth = -1

    # -- launch calls --------------------------------------------------------------------------

    def open(self, name: str) -> bool:
        """Begin a launch call that `shut` ends, unless one is open; return whether it began."""
        if self._open_launch or self.active != get_ident() or self.watch is None:
            return False
        try:
            if self._prepare_depth >= 0:
                self.end_prepare()
            self._open_launch = name
            self.watch.begin_launch()
        except Exception as error:
            self.turn_off(described(error))
        return True

    def shut(self) -> None:
        """End the launch call that is open; nothing where none is."""
        name = self._open_launch
        if not name or self._thread != get_ident() or self.watch is None:
            return
        try:
            self._open_launch = ""
            self.watch.end_launch(self.rows.names[LAUNCH_PREFIX + name])
        except Exception as error:
            self.turn_off(described(error))

    @property
    def is_open(self) -> bool:
        """Return whether a launch call is open."""
        return bool(self._open_launch)


def phase(loop: Loop, name: str) -> Wrapping:
    """Return what makes calls of a function a phase of the loop."""

    def wrapping(call: Call) -> Call:
        @wraps(call)
        def phased(*arguments: Any, **named: Any) -> Any:
            if loop.active != get_ident():
                return call(*arguments, **named)
            rows = loop.rows
            code = rows.names[name]
            open_phases = rows.open_phases
            depth = len(open_phases)
            rows.is_writing = True
            start = perf_counter_ns()
            open_phases.extend((code, start))
            rows.is_writing = False
            try:
                return call(*arguments, **named)
            finally:
                rows.is_writing = True
                rows.phases.extend((code, -1, start, perf_counter_ns()))
                del open_phases[depth:]
                rows.is_writing = False

        return phased

    return wrapping


def launching(loop: Loop, name: str, before: Call | None = None) -> Wrapping:
    """Return what makes calls of a function launch calls of the loop, where none is open.

    `before` is called ahead of each.
    """

    def wrapping(call: Call) -> Call:
        @wraps(call)
        def launched(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                before()
            if loop.active != get_ident() or not loop.open(name):
                return call(*arguments, **named)
            try:
                return call(*arguments, **named)
            finally:
                loop.shut()

        return launched

    return wrapping


def launching_from(loop: Loop, name: str) -> Wrapping:
    """Return what begins a launch call with a call of a function; something else ends it."""

    def wrapping(call: Call) -> Call:
        @wraps(call)
        def opening(*arguments: Any, **named: Any) -> Any:
            if loop.active == get_ident():
                loop.open(name)
            return call(*arguments, **named)

        return opening

    return wrapping


def harmless(hook: Callable[..., None]) -> Callable[..., None]:
    """Make an error of a hook turn the watch off instead of reaching the engine.

    For methods of objects with a `loop`.
    """

    @wraps(hook)
    def safe(self: Any, *arguments: Any, **named: Any) -> None:
        if self.loop.off:
            return
        try:
            hook(self, *arguments, **named)
        except Exception as error:
            self.loop.turn_off(described(error))

    return safe
