"""One palette for every picture, and what modes are called: figures, pages, terminals, NVTX ranges.

Colours that the colour-blind can tell apart: Okabe and Ito, Color Universal Design (2008).
"""

from __future__ import annotations

from collections.abc import Mapping

ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE = "#D55E00", "#CC79A7"
GREY, PALE = "#BBBBBB", "#EEEEEE"

MODE: Mapping[str, str] = {"sync": VERMILION, "async": BLUE}
MODE_TITLES: Mapping[str, str] = {"sync": "synchronous", "async": "asynchronous"}
CAUSE: Mapping[str, str] = {
    "host": VERMILION,
    "launch": ORANGE,
    "queued": SKY,
    "unattributed": GREY,
}
WITHOUT_DEMAND = "#DCC3A1"  # of the host's share: no request was there, and nothing to cure
STATE: Mapping[str, str] = {
    "both busy": GREEN,
    "device only": BLUE,
    "host only": ORANGE,
    "neither": PALE,
}
# What a device does: computing is blue, copying violet. No cause has these colours.
OPERATION: Mapping[str, str] = {
    "compute": BLUE,
    "H2D": "#A58FD0",
    "D2H": "#6F52A8",
    "copy": "#8B72BE",
}
# What a rank does, beside the others: its wait for them has a colour that nothing else has.
RANK: Mapping[str, str] = {
    "computing": BLUE,
    "transfer": PURPLE,
    "waiting": "#F0E442",
}
WAITING = "#B4C3D5"
# What the host does, in colours of its own (after Paul Tol, "muted", 2021): none is a cause's.
PHASE: Mapping[str, str] = {
    "schedule": "#DDCC77",
    "prepare": "#AA4499",
    "submit": "#2B9348",
    "retrieve": WAITING,
    "update": "#44AA99",
    "step": "#7A7CD6",
    "slot": "#7A7CD6",
    "request": "#CC6677",
    "other": "#999933",
}
# Calls of the host: those that wait for the device, and the one that the verdict names.
CALL: Mapping[str, str] = {
    "blocking": "#D81B78",
    "waiting": WAITING,
    "other": "#7D8FA3",
}
# Letters and lines of figures, and what they stand on; a dark page has others in their place.
INK, REMARK, GROUND = "#1b1f24", "#57606a", "#ffffff"
