"""One colour-blind-safe palette (Okabe and Ito, 2008) for every picture: figures, pages, terminals, NVTX ranges."""

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
    "schedule": ORANGE, "prepare": VERMILION, "submit": GREEN, "retrieve": GREY, "update": BLUE,
    "step": SKY, "slot": SKY, "request": PURPLE, "other": YELLOW,
}  # fmt: skip
