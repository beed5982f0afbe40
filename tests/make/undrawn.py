"""Reports without their figures, whose drawing takes longer than all the rest.

For tests of what else a command does. That figures are drawn, and how, is looked at in tests/report
and where a folder's files are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

DRAWING = (
    "run_report.draw_all",
    "trace_report.draw_all",
    "sweep_report.heatmap.draw",
    "comparison_report._figures",
    "trend_report._figures",
)

# `idlescope` as a program
UNDRAWN = """
from idlescope.cli import main
from tests.make.undrawn import figures_undrawn
with figures_undrawn():
    main()
"""


@contextmanager
def figures_undrawn() -> Iterator[None]:
    """While it lasts, reports are written with no figures."""
    with ExitStack() as patched:
        for place in DRAWING:
            patched.enter_context(patch(f"idlescope.report.{place}", lambda *_: {}))
        yield


@contextmanager
def timeline_alone() -> Iterator[None]:
    """While it lasts, reports of runs and traces are written with the one figure that their page shows."""
    from idlescope.report.figures import report_figures, style

    def draw(lines, subtitle, _cost):
        with style.styled():
            return {"timeline": report_figures.DRAWN["timeline"](lines, subtitle)}

    with ExitStack() as patched:
        for place in ("run_report.draw_all", "trace_report.draw_all"):
            patched.enter_context(patch(f"idlescope.report.{place}", draw))
        yield
