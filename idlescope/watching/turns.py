"""Settling goes on while the loop waits for its device, and stands back while it works.

Both threads need the interpreter's lock. A loop of torch lets it go with each operator, so that a
thread which works beside it gets it again and again, and the loop loses all of that time. So
settling is cut into pieces of a millisecond or so; between two of them, `pause` lets the lock go,
and does not come back before the loop waits for its device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

BREATH_S = 50e-6  # in which a thread that waits for the interpreter's lock gets it
PATIENCE_S = 0.02  # with a loop that never waits; then pieces are only kept apart
MOST_OF_A_WAIT = 0.75  # of the length of the last one: then the loop goes on soon


class Waiting(Protocol):
    """What is known of a loop: a `LoopWatch`."""

    thread: int  # of the loop

    @property
    def wait_start(self) -> int:
        """Return since when the loop waits for its device, ns; 0: it does not."""

    last_wait_ns: int  # how long it did the last time

    def call_when_waiting(self, then: threading.Event | None) -> None:
        """Set an event when the loop begins to wait; None: no more."""


class Turns:
    """The pauses of one settling; `in_the_way_ns` is what it did while the loop had work to do."""

    def __init__(self, loop: Waiting) -> None:
        self._loop = loop
        self._begins_to_wait = threading.Event()
        self._is_patient = True
        self._piece_ns = time.perf_counter_ns()
        self._piece_cpu_ns = time.thread_time_ns()
        self.in_the_way_ns = 0

    def pause(self) -> None:
        """Let the loop have the interpreter; come back when it waits for its device."""
        self.count()
        time.sleep(BREATH_S)
        if self._is_patient and not self._may_go_on():
            self._begins_to_wait.clear()
            self._loop.call_when_waiting(self._begins_to_wait)
            self._is_patient = self._begins_to_wait.wait(PATIENCE_S)
            self._loop.call_when_waiting(None)
        self._piece_ns = time.perf_counter_ns()
        self._piece_cpu_ns = time.thread_time_ns()

    def count(self) -> None:
        """Count the piece of work that ends as far as the loop was not waiting."""
        cpu_ns = time.thread_time_ns() - self._piece_cpu_ns
        self._piece_cpu_ns += cpu_ns
        wait_start = self._loop.wait_start
        if not wait_start:
            self.in_the_way_ns += cpu_ns
            return
        # A loop whose wait is over cannot say so while this thread holds the lock.
        expected_end = wait_start + self._loop.last_wait_ns
        late_ns = time.perf_counter_ns() - max(expected_end, self._piece_ns)
        self.in_the_way_ns += max(0, min(cpu_ns, late_ns))

    def _may_go_on(self) -> bool:
        """Return whether the loop waits, and is not expected to go on soon."""
        wait_start = self._loop.wait_start
        waited_ns = time.perf_counter_ns() - wait_start
        return wait_start > 0 and waited_ns < MOST_OF_A_WAIT * self._loop.last_wait_ns


_here = threading.local()  # `turns`: those of what this thread settles


@contextmanager
def taken(loop: Waiting) -> Iterator[Turns]:
    """Let `pause` mean the turns of settling this loop, in this thread, meanwhile.

    In the thread of the loop itself there is nobody to stand back for.
    """
    turns = Turns(loop)
    before = getattr(_here, "turns", None)
    _here.turns = turns if loop.thread != threading.get_ident() else None
    try:
        pause()
        yield turns
        turns.count()
    finally:
        _here.turns = before


def pause() -> None:
    """End a piece of settling: the loop goes first. Nothing where nothing is settled."""
    turns: Any = getattr(_here, "turns", None)
    if turns is not None:
        turns.pause()
