"""Figures as the page holds them: SVG inside the page, each with the caption that explains it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

CAPTIONS = {
    "timeline": "When the CPU and the GPU were busy, in the middle of the run. "
    "White between GPU bars is idle time; gaps narrower than a pixel are not drawn.",
    "causes": "Idle time by cause, as a share of the window. The parts add up to all idle time.",
    "idle": "Idle time in equal parts of the run.",
    "gaps": "How many gaps there are of each length (above), "
    "and how much idle time they hold (below).",
    "cost": "Compute idle time over host work per step: the recorded steps replayed with more and "
    "less host work, and measured points. Filled: synchronous; hollow: asynchronous. Points of "
    "other device times lie off the curves. The first step, in which the pipeline fills, is left "
    "out, as in predictions; not in other engines' points.",
}


class Picture(NamedTuple):
    """One figure: an address that holds the whole image, and its caption."""

    uri: str
    caption: str


def embed(figures: dict[str, Path]) -> dict[str, Picture | None]:
    """Return every figure that CAPTIONS names, as a data URI; None where it was not drawn."""
    pictures: dict[str, Picture | None] = {}
    for figure_name, caption in CAPTIONS.items():
        svg_path = figures.get(figure_name)
        if svg_path is None:
            pictures[figure_name] = None
            continue
        encoded_svg = base64.b64encode(svg_path.read_bytes()).decode()
        pictures[figure_name] = Picture(f"data:image/svg+xml;base64,{encoded_svg}", caption)
    return pictures
