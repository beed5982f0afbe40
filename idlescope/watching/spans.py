"""The context managers of a watch: each is made once and used again, so that a step makes nothing.

What goes wrong in one of them turns the watch off (`Watch.turn_off`) and is not seen by the loop.
"""

from __future__ import annotations

from typing import Protocol


class Told(Protocol):
    """What the spans tell: a `LoopWatch`. Codes are those of its names (`Rows.names`)."""

    @property
    def is_launching(self) -> bool:
        """Return whether a launch call is open."""

    @property
    def wait_start(self) -> int:
        """Return since when a wait is open, ns; 0: none is."""

    def end_step(self) -> None:
        """End the open step."""

    def begin_launch(self) -> None:
        """Note that a call begins that issues device work."""

    def end_launch(self, code: int) -> None:
        """Note that it has returned."""

    def begin_wait(self, code: int) -> None:
        """Note that the host is blocked."""

    def end_wait(self) -> None:
        """Note that it is not any more."""

    def begin_no_demand(self) -> None:
        """Note that there is no request."""

    def end_no_demand(self) -> None:
        """Note that there is one again."""


class StepSpan:
    """`with watch.step():`."""

    def __init__(self, watch: Told) -> None:
        self._watch = watch

    def __enter__(self) -> None:
        """Do nothing: `Watch.step` has begun the step."""

    def __exit__(self, *exception: object) -> None:
        self._watch.end_step()


class LaunchSpan:
    """`with watch.launching(NAME):`; within another one it is part of that."""

    def __init__(self, watch: Told, code: int) -> None:
        self._watch = watch
        self._code = code
        self._parts = 0  # of others that are open

    def __enter__(self) -> None:
        if self._watch.is_launching:
            self._parts += 1
        else:
            self._watch.begin_launch()

    def __exit__(self, *exception: object) -> None:
        if self._parts:
            self._parts -= 1
        else:
            self._watch.end_launch(self._code)


class WaitSpan:
    """`with watch.waiting(NAME):`; within another one it is part of that."""

    def __init__(self, watch: Told, code: int) -> None:
        self._watch = watch
        self._code = code
        self._parts = 0  # of others that are open

    def __enter__(self) -> None:
        if self._watch.wait_start:
            self._parts += 1
        else:
            self._watch.begin_wait(self._code)

    def __exit__(self, *exception: object) -> None:
        if self._parts:
            self._parts -= 1
        else:
            self._watch.end_wait()


class NoDemandSpan:
    """`with watch.no_demand():`."""

    def __init__(self, watch: Told) -> None:
        self._watch = watch

    def __enter__(self) -> None:
        self._watch.begin_no_demand()

    def __exit__(self, *exception: object) -> None:
        self._watch.end_no_demand()
