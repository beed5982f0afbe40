"""A child process that is a copy of this one: what this one has imported, it need not import again.

On Linux, from a process that is a command of ours (not one of a user, of any size and content), and
of one thread only: a copy has none of the other threads, and what they held locked stays so. It has
no files but its pipes, and Ctrl-C is its parent's to handle.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import NoReturn

_THREADS = (
    "/proc/self/task"  # a folder of each thread, also of those that no Python code started
)
_FILES = "/proc/self/fd"
_OWN_FILES = 3  # standard input, output and error


class _OwnProcess:
    """What is known of this process."""

    is_command = False  # of ours


def allow_forks() -> None:
    """Say that this process is a command of ours, so that it may be copied."""
    _OwnProcess.is_command = True


def may_fork() -> bool:
    """Return whether this process can be copied as it is now."""
    if sys.platform != "linux" or not _OwnProcess.is_command:
        return False
    try:
        return len(os.listdir(_THREADS)) == 1
    except OSError:  # a system that shows no processes
        return False


class ForkedChild:
    """A copy of this process that does one thing and ends; used as `subprocess.Popen` is.

    What is written to `stdin` it reads from its standard input, and `stdout` is its output. `work`
    is what it does. Raises OSError where the system gives no process.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        questions, to_child = os.pipe()
        from_child, answers = os.pipe()
        self.stdin = open(to_child, "wb")  # noqa: SIM115 - closed by whoever ends the child
        self.stdout = open(from_child, "rb")  # noqa: SIM115
        try:
            with _signals_held():
                self.pid = os.fork()
                if self.pid == 0:
                    _do(work, questions, answers)
        finally:
            os.close(questions)
            os.close(answers)
        self._exit_code: int | None = None
        self._waiting = Lock()

    def kill(self) -> None:
        """End the process, whatever it does; nothing where it has been waited for."""
        # Its number is another's once it has been waited for.
        with self._waiting:
            if self._exit_code is None:
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait until the process has ended; return its exit code."""
        with suppress(ChildProcessError):  # someone else has waited for it
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._waiting:
            if self._exit_code is None:
                _, status = os.waitpid(self.pid, 0)
                self._exit_code = os.waitstatus_to_exitcode(status)
            return self._exit_code


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back signals: a copy must not obey one as its parent does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do(work: Callable[[], object], questions: int, answers: int) -> NoReturn:
    """Be the copy: nothing of what the parent would do next, or at its end, is done."""
    exit_code = 1
    try:
        _leave_to_parent()
        _take_pipes(questions, answers)
        work()
        sys.stdout.flush()
        exit_code = 0
    finally:
        os._exit(exit_code)


def _leave_to_parent() -> None:
    """Leave signals and garbage to the parent."""
    gc.freeze()  # what is copied is not looked through, so its pages stay shared
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        is_ctrl_c = number == signal.SIGINT
        signal.signal(number, signal.SIG_IGN if is_ctrl_c else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _take_pipes(questions: int, answers: int) -> None:
    """Have two pipes as standard input and output, and no other file.

    Another child's pipe that is held open here would not end with the parent.
    """
    os.dup2(questions, 0)
    os.dup2(answers, 1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    for name in os.listdir(_FILES):
        if int(name) >= _OWN_FILES:
            with suppress(OSError):  # the folder itself
                os.close(int(name))
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process is there
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
