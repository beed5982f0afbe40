"""One colour-blind-safe palette for every picture (Okabe and Ito, 2008), and how figures are written out."""

from __future__ import annotations

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#BBBBBB"

MODE = {"sync": VERMILION, "async": BLUE}
CAUSE = {"host": VERMILION, "launch": ORANGE, "queued": SKY, "unattributed": GREY}
STATE = {"both busy": GREEN, "device only": BLUE, "host only": ORANGE, "neither": "#EEEEEE"}
PHASE = {
    "schedule": PURPLE, "prepare": VERMILION, "submit": ORANGE, "retrieve": "#DDDDDD", "update": YELLOW,
}  # fmt: skip
STREAM = {"h2d": SKY, "compute": BLUE, "d2h": GREEN}


def milliseconds(ns: float) -> str:
    """Return a length of time with a unit that suits it."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= scale:
            return f"{ns / scale:.3g} {unit}" if abs(ns) < 1000 * scale else f"{ns / scale:,.0f} {unit}"
    return f"{ns:.0f} ns"
