"""`idlescope view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope.cli.suggestions import modes

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
PathToView = Annotated[
    Path,
    typer.Argument(
        help="A folder with a report (of run, analyze, sweep or compare), its report.html, or a "
        "trace that `analyze` reads."
    ),
]
InPerfetto = Annotated[
    bool,
    typer.Option(
        "--perfetto", help="Open the trace in the Perfetto UI, at its longest gap."
    ),
]
Mode = Annotated[
    Optional[str],
    typer.Option(
        help="Of a folder of `idlescope run`: sync or async; sync unless given.",
        autocompletion=modes,
        show_default=False,
    ),
]
Port = Annotated[
    int,
    typer.Option(help="For the report; 0 takes a free one.", min=0, max=65535),
]
OpenBrowser = Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")]


def view(
    path: PathToView,
    in_perfetto: InPerfetto = False,
    mode: Mode = None,
    port: Port = 0,
    open_browser: OpenBrowser = True,
) -> None:
    """Show a report, or a trace in Perfetto, in the browser.

    Served to this machine only. The Perfetto UI (ui.perfetto.dev) reads the trace from here;
    nothing is uploaded.
    """
    from idlescope.cli.actions.view import view_command

    view_command(path, in_perfetto, mode, port, open_browser)
