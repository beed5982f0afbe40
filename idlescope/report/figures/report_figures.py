"""Every figure of a report, by name. A new figure is a file here and a line in DRAWN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from idlescope.analysis.prediction.curve import HostCost, host_cost
from idlescope.report.figures import activity, causes, gap_lengths, idle_over_run
from idlescope.report.figures import host_cost as host_cost_figure
from idlescope.report.figures.style import drawn_text, styled
from idlescope.report.text import shorten
from idlescope.report.work_line import WorkLine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SUBTITLE_CHARACTERS = 80
DRAWN: Mapping[str, Callable[[Sequence[WorkLine], str], Figure]] = {
    "timeline": activity.draw,
    "causes": causes.draw,
    "idle": idle_over_run.draw,
    "gaps": gap_lengths.draw,
}


def host_cost_of(lines: Sequence[WorkLine]) -> HostCost | None:
    """Return idle over host work, of the steps of these lines; None where none can be replayed."""
    return host_cost({line.label: (line.trace, line.result) for line in lines})


def draw_all(
    lines: Sequence[WorkLine], subtitle: str, cost: HostCost | None
) -> dict[str, Figure]:
    """Return every figure by name, without `cost` where no steps can be replayed.

    `subtitle` says what was run, and that it is modelled where it is; `cost` is `host_cost_of` the
    lines.
    """
    subtitle = drawn_text(shorten(subtitle, MAX_SUBTITLE_CHARACTERS))
    with styled():
        figures = {
            name: draw_figure(lines, subtitle) for name, draw_figure in DRAWN.items()
        }
        if cost is not None:
            figures["cost"] = host_cost_figure.draw(cost, subtitle)
    return figures


def still_picture(paths: Sequence[Path]) -> Path | None:
    """Return, of the figures that were saved, the one that stands for the timeline in print."""
    return next((path for path in paths if path.name == "timeline.svg"), None)
