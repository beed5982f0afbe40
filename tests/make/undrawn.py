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
