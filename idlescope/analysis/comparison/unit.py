"""What times are given for."""

from __future__ import annotations

from enum import Enum


class Unit(str, Enum):
    """What the figures of a comparison are given for."""

    STEP = "step"
    TOKEN = "token"  # noqa: S105 - no password
    WINDOW = "window"  # in per cent of it

    def __str__(self) -> str:
        return self.value

    def amount(self, value: float) -> str:
        """Return a figure: milliseconds, or per cent of the window."""
        if self == Unit.WINDOW:
            return f"{value:.2f} %"
        return f"{value / 1e6:,.4g} ms"

    def change(self, value: float) -> str:
        """Return a change with its sign: milliseconds, or points of per cent."""
        if self == Unit.WINDOW:
            return f"{value:+.2f} points"
        return f"{value / 1e6:+,.4g} ms"
