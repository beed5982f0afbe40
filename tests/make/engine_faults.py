"""Faults in an engine: the so many-th call of one of its methods fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from idlescope.engine.loop import Engine


@contextmanager
def failing(
    engine: Engine, place: tuple[str, str], calls: int, error: Callable[[], BaseException]
) -> Iterator[None]:
    """Let the so many-th call of a method fail; `place` is its owner in the engine, and its name.

    `error` makes the exception anew: one that is kept would hold the frames that it went through.
    """
    owner_name, method_name = place
    owner = {
        "scheduler": engine.scheduler,
        "device": engine.device,
        "recorder": engine.recorder,
        "engine": engine,
        "slot": engine._slots[0],
    }[owner_name]
    method, left = getattr(owner, method_name), [calls]

    def call(*arguments):
        left[0] -= 1
        if not left[0]:
            raise error()
        return method(*arguments)

    with patch.object(owner, method_name, call):
        yield
