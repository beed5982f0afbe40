"""Signals that end a process leave it in order, while something of it is being recorded."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

ENDING = ("SIGTERM", "SIGHUP")  # the second is not on Windows
SIGNALLED = (
    128  # a process that a signal ended has this exit code, and the signal's number more
)

Handler = Callable[[int, FrameType | None], Any] | int | None


class LeavingInOrder:
    """Has `kill` and a closed terminal raise SystemExit, so that what is open is written.

    Only where nobody else handles them: by default they end a process where it stands. To be begun
    in the main thread, which is the one that handles signals; elsewhere it does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, Handler] = {}

    def begin(self) -> None:
        """Handle the signals that end the process by default."""
        if threading.current_thread() is not threading.main_thread():
            return
        numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
        for number in numbers:
            if signal.getsignal(number) == signal.SIG_DFL:
                self._before[number] = signal.signal(number, _leave)

    def end(self) -> None:
        """Leave the signals as they were, but those that someone else handles by now."""
        if threading.current_thread() is threading.main_thread():
            for number, before in self._before.items():
                if signal.getsignal(number) is _leave:
                    signal.signal(number, before)
        self._before = {}


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(SIGNALLED + number)
