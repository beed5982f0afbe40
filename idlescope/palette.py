"""One palette for every picture: figures, pages, terminals, NVTX ranges.

Colours that the colour-blind can tell apart: Okabe and Ito, Color Universal Design (2008).
"""

from __future__ import annotations

from collections.abc import Mapping

ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"
GREY, PALE = "#BBBBBB", "#EEEEEE"

MODE: Mapping[str, str] = {"sync": VERMILION, "async": BLUE}
CAUSE: Mapping[str, str] = {
    "host": VERMILION,
    "launch": ORANGE,
    "queued": SKY,
    "unattributed": GREY,
}
STATE: Mapping[str, str] = {
    "both busy": GREEN,
    "device only": BLUE,
    "host only": ORANGE,
    "neither": PALE,
}
OPERATION: Mapping[str, str] = {
    "compute": BLUE,
    "H2D": SKY,
    "D2H": PURPLE,
    "copy": SKY,
    "memset": GREY,
}
# What the host does: preparing is warm, launching green, waiting grey, finishing blue.
PHASE: Mapping[str, str] = {
    "schedule": ORANGE,
    "prepare": VERMILION,
    "submit": GREEN,
    "retrieve": GREY,
    "update": BLUE,
    "step": SKY,
    "slot": SKY,
    "request": PURPLE,
    "other": YELLOW,
}
