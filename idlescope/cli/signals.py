"""Signals that ask a command to end: all of them do what Ctrl-C does."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any, NoReturn

from idlescope.report.text import visible

EXIT_CODE = 130  # of what Ctrl-C ended: 128 and the number of SIGINT
ENDING = ("SIGTERM", "SIGHUP")  # the second is not on Windows


def end_as_interrupted() -> None:
    """Let `kill` and a closed terminal end this process as Ctrl-C does.

    Servers' profilers are stopped then, what there is of a run is written, temporary folders go. A
    signal that is ignored, as `nohup` has it, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)


def interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that says what was kept where Ctrl-C ends it: typer would say nothing."""

    @wraps(command)
    def said(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as interrupt:
            raise SystemExit(interrupted(interrupt)) from interrupt

    return said


def interrupted(interrupt: KeyboardInterrupt) -> int:
    """Say that Ctrl-C ended a command, and what was kept; return the exit code."""
    kept = str(interrupt) or "nothing was written"
    print(f"idlescope: interrupted; {visible(kept)}", file=sys.stderr)
    return EXIT_CODE


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
