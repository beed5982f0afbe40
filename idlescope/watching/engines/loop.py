"""What the hooks of an engine tell its watch: one loop a process, whose watch begins late.

The watch is made when the process is found to drive a device, so that other processes of a server
(its front end, its tokenizer) have none; until then, and once it is off, hooks do next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from typing import Any

from idlescope.analysis.steps.step_kind import StepKind
from idlescope.watching.safety import LOGGER, described
from idlescope.watching.spans import LaunchSpan
from idlescope.watching.watch import Watch

# What hooks call the phases of a step: as our own engine does.
SCHEDULE, PREPARE, UPDATE, RECEIVE = "schedule", "prepare", "update", "receive requests"
FORWARD, SAMPLE = "forward", "sample"  # what is launched
TOKENS = "tokens"  # what is waited for

StartWatch = Callable[[int | None, int | None], Watch]  # of a device, by a rank


class Loop:
    """The loop of this process and its watch, as hooks see them.

    `start` makes the watch. What goes wrong here turns the watch off (`harmless`); the engine
    never sees it.
    """

    def __init__(self, start: StartWatch) -> None:
        self._start = start
        self.watch: Watch | None = None
        self.off = ""
        self._thread = 0  # of the loop: the one that makes the steps
        self._open_launch: LaunchSpan | None = None
        self._phases: list[str] = []  # that are open
        self._no_demand: Any = None  # the span that is open

    @property
    def watches(self) -> bool:
        """Return whether there is a watch that is on."""
        return self.watch is not None and not self.watch.off and not self.off

    def begin(self, device: int | None, rank: int | None) -> None:
        """Make the watch, unless there is one."""
        if self.watch is None and not self.off:
            self.watch = self._start(device, rank)

    def is_here(self) -> bool:
        """Return whether this is the thread of a loop that is watched."""
        return self._thread == get_ident() and self.watches

    def turn_off(self, reason: str) -> None:
        """Stop watching, and say why."""
        self.off = reason
        if self.watch is not None:
            self.watch.turn_off(reason)
        else:
            LOGGER.warning("nothing is watched: %s", reason)

    # -- steps ---------------------------------------------------------------------------------

    def begin_step(self, tokens: int, requests: int, kind: StepKind) -> None:
        """Begin a step, which ends the one before and the time without requests."""
        if self.watch is None or not self.watches:
            return
        self._thread = get_ident()
        self.demand_begins()
        self.watch.begin_step(tokens, requests, kind)

    def demand_ends(self) -> None:
        """Note that there is no request from now on; the step that is open ends."""
        if self._no_demand is not None or self.watch is None or not self.is_here():
            return
        self.shut()
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

    # -- phases --------------------------------------------------------------------------------

    def begin_phase(self, name: str) -> None:
        """Begin a phase of the host's work."""
        if self.watch is None or not self.is_here() or not self.has_demand:
            return
        self._phases.append(name)
        self.watch.begin_phase(name)

    def end_phase(self, name: str) -> None:
        """End the phase that began last, if it is this one and is still open."""
        if self.watch is None or not self._phases or self._phases[-1] != name:
            return
        self._phases.pop()
        self.watch.end_phase()

    # -- launch calls --------------------------------------------------------------------------

    def open(self, name: str) -> None:
        """Begin a launch call that `shut` ends; one that is open goes on."""
        if self._open_launch is not None or self.watch is None or not self.is_here():
            return
        self.end_phase(PREPARE)
        self._open_launch = self.watch.launching(name)
        self._open_launch.__enter__()

    def shut(self) -> None:
        """End the launch call that is open; nothing where none is."""
        span, self._open_launch = self._open_launch, None
        if span is not None:
            span.__exit__(None, None, None)

    @property
    def is_open(self) -> bool:
        """Return whether a launch call is open."""
        return self._open_launch is not None


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
