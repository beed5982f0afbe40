"""The figures of reports, to be drawn in a notebook: public as `idlescope.figures`.

Each takes a `Run`, one of its modes, an `Analysis`, or a mapping of names to these, and returns a
matplotlib Figure; `heat_maps` takes a `Sweep`, `changes` a comparison. All are methods of these
objects, too: `run.timeline()` is `figures.timeline(run)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from idlescope.analysis.comparison.change import Comparison
from idlescope.analysis.result import Analysis
from idlescope.errors import TraceError
from idlescope.experiment.grid_sweep import Sweep
from idlescope.experiment.mode_run import ModeRun
from idlescope.experiment.result import Run
from idlescope.palette import ORANGE, PALE, SKY
from idlescope.report import work_line
from idlescope.report.figures import activity, heatmap
from idlescope.report.figures import causes as causes_figure
from idlescope.report.figures import comparison as comparison_figure
from idlescope.report.figures import gap_lengths as gap_lengths_figure
from idlescope.report.figures import host_cost as host_cost_figure
from idlescope.report.figures import idle_over_run as idle_over_run_figure
from idlescope.report.figures.report_figures import host_cost_of
from idlescope.report.figures.style import RC_PARAMS as STYLE
from idlescope.report.figures.style import canvas, drawn_text, styled_for_notebooks
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
    "changes",
    "gap_lengths",
    "heat_maps",
    "host_cost",
    "idle_over_run",
    "timeline",
]

Work = Run | ModeRun | Analysis | Mapping[str, ModeRun | Analysis]


def timeline(work: Work, subtitle: str = "") -> Figure:
    """Draw when CPU and GPU were busy in the middle of the work, and what they did together."""
    return _drawn(activity.draw, work, subtitle)


def host_cost(work: Work, subtitle: str = "") -> Figure:
    """Draw compute idle over host work per step, with measured points.

    Raises TraceError where the steps cannot be replayed.
    """
    cost = host_cost_of(_lines(work))
    if cost is None:
        raise TraceError(
            "the steps cannot be replayed, so what host work costs is not told"
        )
    with styled_for_notebooks():
        return host_cost_figure.draw(cost, drawn_text(subtitle))


def causes(work: Work, subtitle: str = "") -> Figure:
    """Draw idle time by cause, in % of the window."""
    return _drawn(causes_figure.draw, work, subtitle)


def gap_lengths(work: Work, subtitle: str = "") -> Figure:
    """Draw how many gaps are how long, and how much of the idle time they hold."""
    return _drawn(gap_lengths_figure.draw, work, subtitle)


def idle_over_run(work: Work, subtitle: str = "") -> Figure:
    """Draw idle, in %, in equal parts of the work."""
    return _drawn(idle_over_run_figure.draw, work, subtitle)


def heat_maps(sweep: Sweep) -> dict[str, Figure]:
    """Draw the grid of a sweep: `idle`, and `gain` where both modes were run."""
    return heatmap.draw(sweep.rows)


def changes(comparison: Comparison) -> Figure:
    """Draw the change of each part of a comparison with its interval."""
    return comparison_figure.draw(comparison)


def _drawn(
    draw: Callable[[Sequence[WorkLine], str], Figure], work: Work, subtitle: str
) -> Figure:
    with styled_for_notebooks():
        return draw(_lines(work), drawn_text(subtitle))


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
