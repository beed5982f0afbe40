"""Signals that ask a command to end: Ctrl-C, `kill`, and a terminal that is closed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import pytest

ENDING = pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    ids=lambda number: number.name,
)


def obeying(number: int) -> Callable[[], object]:
    """Return what a child calls first: under nohup it would ignore a hang-up as its parent does."""
    return partial(signal.signal, number, signal.SIG_DFL)
