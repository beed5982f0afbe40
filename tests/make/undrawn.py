"""Reports without their figures, whose drawing takes longer than all the rest.

For tests of what else a command does. That figures are drawn, and how, is looked at in tests/report
and where a folder's files are counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

# by module, the function that draws
DRAWING = {
    "idlescope.report.run_report": "draw_all",
    "idlescope.report.trace_report": "draw_all",
    "idlescope.report.figures.heatmap": "draw",
    "idlescope.report.comparison_report": "_figures",
    "idlescope.report.trend_report": "_figures",
}

# `idlescope` as a program
UNDRAWN = """
from tests.make.undrawn import draw_nothing
draw_nothing()
from idlescope.cli import main
main()
"""


def _nothing(*_: object) -> dict[str, object]:
    return {}


@contextmanager
def figures_undrawn() -> Iterator[None]:
    """While it lasts, reports are written with no figures."""
    from unittest.mock import patch

    with ExitStack() as patched:
        for module, function in DRAWING.items():
            patched.enter_context(patch(f"{module}.{function}", _nothing))
        yield


def draw_nothing() -> None:
    """From here on reports are written with no figures; nothing is imported that is not used."""
    sys.meta_path.insert(0, _WithoutDrawing())


class _WithoutDrawing(MetaPathFinder):
    """Replaces the functions that draw, as their modules are imported."""

    def find_spec(self, fullname, path, target=None):
        if fullname not in DRAWING:
            return None
        spec = PathFinder.find_spec(fullname, path)
        execute = spec.loader.exec_module

        def execute_and_replace(module):
            execute(module)
            setattr(module, DRAWING[fullname], _nothing)

        spec.loader.exec_module = execute_and_replace
        return spec


@contextmanager
def timeline_alone() -> Iterator[None]:
    """While it lasts, reports of runs and traces are written with the one figure that their page shows."""
    from unittest.mock import patch

    from idlescope.report.figures import report_figures, style

    def draw(lines, subtitle, _cost):
        with style.styled():
            return {"timeline": report_figures.DRAWN["timeline"](lines, subtitle)}

    with ExitStack() as patched:
        for place in ("run_report.draw_all", "trace_report.draw_all"):
            patched.enter_context(patch(f"idlescope.report.{place}", draw))
        yield
