"""One colour-blind-safe palette for every picture (Okabe and Ito, 2008), and how lengths of time are written."""

from __future__ import annotations

ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, GREY = "#D55E00", "#BBBBBB"

MODE = {"sync": VERMILION, "async": BLUE}
CAUSE = {"host": VERMILION, "launch": ORANGE, "queued": SKY, "unattributed": GREY}
STATE = {"both busy": GREEN, "device only": BLUE, "host only": ORANGE, "neither": "#EEEEEE"}


def milliseconds(ns: float) -> str:
    """Return a length of time with a unit that suits it."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= scale:
            return f"{ns / scale:.3g} {unit}" if abs(ns) < 1000 * scale else f"{ns / scale:,.0f} {unit}"
    return f"{ns:.0f} ns"
