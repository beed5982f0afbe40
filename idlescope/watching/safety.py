"""A watch never harms: whatever goes wrong in it turns it off, with one line in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

LOGGER = logging.getLogger("idlescope")


class CanTurnOff(Protocol):
    """What `guarded` needs of the class of a method."""

    off: str

    def turn_off(self, reason: str) -> None:
        """Stop for good, and say why."""


Method = TypeVar("Method", bound=Callable[..., Any])


def guarded(method: Method) -> Method:
    """Make a method return None where its watch is off, or raises an error: that turns it off."""

    @wraps(method)
    def safe(self: CanTurnOff, *arguments: Any, **named: Any) -> Any:
        if self.off:
            return None
        try:
            return method(self, *arguments, **named)
        except Exception as error:
            self.turn_off(described(error))
            return None

    return safe  # type: ignore[return-value]


def described(error: BaseException) -> str:
    """Return what an error of ours was and where it was raised, in one line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{place}"
