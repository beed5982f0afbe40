"""The figures of reports, to be drawn in a notebook: public as `idlescope.figures`.

Each takes a `Run`, one of its modes, an `Analysis`, or a mapping of names to these, and returns a
matplotlib Figure; `heat_maps` takes a `Sweep`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from idlescope.analysis.result import Analysis
from idlescope.experiment.grid_sweep import Sweep
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.result import Run
from idlescope.palette import ORANGE, PALE, SKY
from idlescope.report import work_line
from idlescope.report.figures import activity, heatmap
from idlescope.report.figures import causes as causes_figure
from idlescope.report.figures import gap_lengths as gap_lengths_figure
from idlescope.report.figures.style import RC_PARAMS as STYLE
from idlescope.report.figures.style import canvas
from idlescope.report.work_line import WorkLine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ORANGE",
    "PALE",
    "SKY",
    "STYLE",
    "canvas",
    "causes",
    "gap_lengths",
    "heat_maps",
    "timeline",
]

Work = Run | ModeRun | Analysis | Mapping[str, ModeRun | Analysis]


def timeline(work: Work, subtitle: str = "") -> Figure:
    """Draw what host and device did in the middle of the work, and what they did together."""
    return activity.draw(_lines(work), subtitle)


def causes(work: Work, subtitle: str = "") -> Figure:
    """Draw idle time by cause."""
    return causes_figure.draw(_lines(work), subtitle)


def gap_lengths(work: Work, subtitle: str = "") -> Figure:
    """Draw how many gaps are how long, and how much of the idle time they hold."""
    return gap_lengths_figure.draw(_lines(work), subtitle)


def heat_maps(sweep: Sweep) -> dict[str, Figure]:
    """Draw the grid of a sweep: `idle`, and `gain` where both modes were run."""
    return heatmap.draw(sweep.rows)


def _lines(work: Work) -> list[WorkLine]:
    """Return a line for each mode, or for each device of a trace."""
    if isinstance(work, Run):
        return _named(work.modes)
    if isinstance(work, ModeRun):
        return _named({work.mode: work})
    return _named(work) if isinstance(work, Mapping) else work_line.of_analysis(work)


def _named(work: Mapping[str, ModeRun | Analysis]) -> list[WorkLine]:
    lines = []
    for name, one in work.items():
        analysis = one.analysis if isinstance(one, ModeRun) else one
        for result in analysis.results:
            lines.append(WorkLine(str(name), result.view.trace, result, analysis.phases))
    return lines
