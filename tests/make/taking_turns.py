"""Two threads of which one runs at a time, and the other goes on at points that a seed chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

from tests.make.interrupted import interrupted


class Baton:
    """Lets one of two threads run; `pass_on` may let the other one, as a seed says."""

    def __init__(self, seed: int, share: float) -> None:
        self._random = Random(seed)
        self._share = share  # of the points at which the other thread goes on
        self._changes = threading.Condition()
        self._runs = 0
        self._over: set[int] = set()

    def pass_on(self, thread: int) -> None:
        """Let the other thread go on, or not."""
        if self._random.random() < self._share:
            self._give(thread)
            self.wait_for(thread)

    def wait_for(self, thread: int) -> None:
        """Block until it is a thread's turn."""
        with self._changes:
            alone = 1 - thread in self._over
            assert alone or self._changes.wait_for(lambda: self._runs == thread, 20)

    def end(self, thread: int) -> None:
        """Leave all further turns to the other thread."""
        self._over.add(thread)
        self._give(thread)

    def _give(self, thread: int) -> None:
        with self._changes:
            if 1 - thread not in self._over:
                self._runs = 1 - thread
            self._changes.notify_all()


def taking_turns(
    first: Callable[[], None],
    second: Callable[[], None],
    files: tuple[str, ...],
    seed: int,
    share: float = 0.2,
) -> None:
    """Run two functions in threads that change where those of some files may be interrupted."""
    baton = Baton(seed, share)
    failures: list[BaseException] = []

    def run(thread: int, work: Callable[[], None]) -> None:
        baton.wait_for(thread)
        try:
            with interrupted(files, lambda: baton.pass_on(thread)):
                work()
        except BaseException as error:
            failures.append(error)
        finally:
            baton.end(thread)

    threads = [
        threading.Thread(target=run, args=work) for work in ((0, first), (1, second))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure
