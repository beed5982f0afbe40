"""Results that draw themselves: the figures of `idlescope.figures` as methods.

This room knows nothing of figures: it asks the package's public face for them, when one is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures() -> Any:
    """Return `idlescope.figures`."""
    import idlescope

    return idlescope.figures


class Drawn:
    """What has lines of work: an analysis, a run, or one of its modes.

    Each method returns a matplotlib Figure, which a notebook shows; `subtitle` says what it is of.
    """

    def timeline(self, subtitle: str = "") -> Figure:
        """Draw when CPU and GPU were busy, in the middle of the work, and what they did together.

        The horizontal axis is in ms or µs.
        """
        return figures().timeline(self, subtitle)

    def host_cost(self, subtitle: str = "") -> Figure:
        """Draw compute idle, in %, over host work, in ms per step, with measured points.

        Raises TraceError where the steps cannot be replayed.
        """
        return figures().host_cost(self, subtitle)

    def causes(self, subtitle: str = "") -> Figure:
        """Draw idle time by cause, in % of the window."""
        return figures().causes(self, subtitle)

    def gap_lengths(self, subtitle: str = "") -> Figure:
        """Draw how many gaps are how long, and how much of the idle time they hold."""
        return figures().gap_lengths(self, subtitle)

    def idle_over_run(self, subtitle: str = "") -> Figure:
        """Draw idle, in %, in equal parts of the work."""
        return figures().idle_over_run(self, subtitle)
