"""CUDA graphs that exist already, and captures from now on.

Graphs that were instantiated before CUPTI was asked for records of them crash the process when they
are replayed (CUDA 13 on an H200: a segmentation fault within cudaGraphLaunch). So CUPTI is only
turned on where there is none yet.
"""

from __future__ import annotations

import gc
from typing import Any

from idlescope.watching.patching import around, wrap

# Python 3.12 begins with some 375 objects frozen; an engine that freezes what it has loaded
# (`gc.freeze`) has a hundred thousand and more.
FROZEN_BY_PYTHON = 2_000


class GraphCaptures:
    """What this process captured, as far as torch knows; `captured` grows with each capture."""

    def __init__(self) -> None:
        self.captured = 0
        self.replayed = False  # a graph was seen that is being replayed

    def follow(self) -> None:
        """Count captures from now on."""
        graph = _graph_type()
        if graph is not None:
            wrap(graph, "capture_begin", around(before=self._captures))

    def exist(self) -> bool:
        """Return whether there is a graph; looks at all objects once, some 50 ms of a big engine.

        Objects that were frozen (`gc.freeze`) cannot be looked at: there may be one among them.
        """
        if self.replayed or self.captured:
            return True
        graph = _graph_type()
        if graph is None:
            return False
        # `type`, not `isinstance`: that asks objects for their class, which lazy ones load
        alive = any(issubclass(type(found), graph) for found in gc.get_objects())
        return alive or gc.get_freeze_count() > FROZEN_BY_PYTHON

    def _captures(self, *arguments: Any, **named: Any) -> None:
        self.captured += 1


def _graph_type() -> Any:
    """Return torch's type of CUDA graphs; None: it has none."""
    import torch

    return getattr(torch.cuda, "CUDAGraph", None)


CAPTURES = GraphCaptures()  # of this process
