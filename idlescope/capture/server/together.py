"""Do something with several servers at the same time; what fails for one ends it for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from idlescope.capture.server.traces import Say
from idlescope.errors import ServerError

Item = TypeVar("Item")
Found = TypeVar("Found")


class EndedError(ServerError):
    """Another server failed, or Ctrl-C was pressed: this one is ended, too."""


class _Said:
    """Passes on what is said, and ends who says it once all is over.

    What is said after that, while a server is stopped, is passed on again.
    """

    def __init__(self, say: Say, is_over: threading.Event) -> None:
        self._say, self._is_over = say, is_over
        self._has_ended = False

    def __call__(self, text: str) -> None:
        if self._is_over.is_set() and not self._has_ended:
            self._has_ended = True
            raise EndedError("the recording of another server failed")
        self._say(text)


def each(
    items: Sequence[Item], work: Callable[[Item, Say], Found], say: Say
) -> list[Found]:
    """Return what `work` gives for each item, in order; several are worked on at once.

    `say` is called with what is done. Where work on one raises, or Ctrl-C is pressed, work on the
    others ends when it next says something, and that is raised once all have ended.
    """
    if len(items) == 1:
        return [work(items[0], say)]
    is_over = threading.Event()

    with ThreadPoolExecutor(len(items)) as pool:
        futures = [pool.submit(work, item, _Said(say, is_over)) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            is_over.set()
            raise
        failed = [future for future in futures if future in done and future.exception()]
        if failed:
            is_over.set()
            wait(futures)
            failed[0].result()
        return [future.result() for future in futures]
