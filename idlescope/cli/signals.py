"""Signals that ask a command to end: all of them do what Ctrl-C does.

The first thing that a command does is to take them (`end_as_interrupted`), the last to leave with
Ctrl-C's exit code (`leave`); this module imports nothing that takes time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import wraps

TYPE_CHECKING = False  # as in `typing`, which is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

EXIT_CODE = 130  # of what Ctrl-C ended: 128 and the number of SIGINT
ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not on Windows
# A terminal that is closed sends several, an impatient hand too: those that follow so soon ask for
# nothing new, and what tidies up is not disturbed.
ONE_REQUEST_S = 1.0
AGAIN_S = 0.01  # after which a signal is sent again that came where it has no effect


class Requests:
    """What signals asked this process for."""

    last_s = -ONE_REQUEST_S  # when the last one came, of the monotonic clock
    has_ended = False  # they were obeyed, and that was said


def end_as_interrupted() -> None:
    """Let `kill` and a closed terminal end this process as Ctrl-C does.

    Servers' profilers are stopped then, what there is of a run is written, temporary folders go. A
    signal that is ignored, as `nohup` has it, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    for number in _numbers():
        if signal.getsignal(number) in usual:
            signal.signal(number, _interrupt)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _ask_again


def interruptible(part: Callable[..., Any]) -> Callable[..., Any]:
    """Return a part of a command that says what was kept where Ctrl-C ends it.

    typer would say nothing.
    """

    @wraps(part)
    def said(*arguments: Any, **options: Any) -> Any:
        try:
            return part(*arguments, **options)
        except KeyboardInterrupt as interrupt:
            raise SystemExit(interrupted(interrupt)) from interrupt

    return said


def interrupted(interrupt: KeyboardInterrupt) -> int:
    """Say that Ctrl-C ended a command, and what was kept; return the exit code.

    Nothing can disturb the end of the process from here on.
    """
    _ignore_further()
    Requests.has_ended = True
    from idlescope.report.text import visible
    from idlescope.trace.in_place import Placed

    kept = "nothing was written" if Placed.latest is None else f"{Placed.latest} is whole"
    kept = str(interrupt) or kept
    print(f"idlescope: interrupted; {visible(kept)}", file=sys.stderr)
    return EXIT_CODE


def end_at_once() -> None:
    """Let signals end this process where it stands: for a command that keeps nothing.

    Not for one that writes anything. A thread of it may wait for ever, as one that reads what
    another program has to say does.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _numbers():
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, _leave_at_once)


def _leave_at_once(number: int, frame: FrameType | None) -> NoReturn:
    interrupted(KeyboardInterrupt())
    leave()
    raise SystemExit(EXIT_CODE)


def leave() -> None:
    """End the process undisturbed, with the exit code of Ctrl-C where that ended its command.

    To be called last. Python itself ends by the signal, not by an exit code, where Ctrl-C met any
    text that was being compiled (as dataclasses have it), whoever handled that.
    """
    _ignore_further()
    if not Requests.has_ended:
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            continue
    os._exit(EXIT_CODE)


def _ignore_further() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _numbers():
            signal.signal(number, signal.SIG_IGN)


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in ENDING if hasattr(signal, name)]


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, once for signals that come together."""
    now_s = time.monotonic()
    is_new = now_s - Requests.last_s >= ONE_REQUEST_S
    Requests.last_s = now_s
    if is_new:
        raise KeyboardInterrupt


def _ask_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Send a signal again that came where Python drops what is raised, as in `__del__`."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
    elif not Requests.has_ended:
        # Not here: what is raised is dropped in this hook, too.
        threading.Thread(target=_send_again, daemon=True).start()


def _send_again() -> None:
    time.sleep(AGAIN_S)
    if not Requests.has_ended:
        Requests.last_s = -ONE_REQUEST_S
        os.kill(os.getpid(), signal.SIGINT)
