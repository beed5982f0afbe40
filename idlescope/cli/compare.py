"""`idlescope compare`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from idlescope.cli.options import (
    FIRST_LAST,
    OUTPUT,
    AsJson,
    Devices,
    Force,
    Out,
    Output,
    PhaseFile,
    Process,
    RunFolderModes,
    Verbose,
    Window,
)

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
Recordings = Annotated[
    list[str],
    typer.Argument(
        metavar="A B",
        help="Traces that `analyze` reads, folders of `idlescope run`, or an analysis.json. The "
        "first is compared with each of the others; the word vs stands between sides of several "
        "recordings, as in base/* vs new/*. One folder of `idlescope run` alone: its two modes.",
    ),
]
Per = Annotated[
    Optional[str],
    typer.Option(
        help="Give times per step, token or window (in per cent); the first that is known unless "
        "given.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
AsMarkdown = Annotated[
    bool,
    typer.Option(
        "--markdown",
        help="Print Markdown for a pull request, and nothing else.",
        rich_help_panel=OUTPUT,
    ),
]


def compare(
    recordings: Recordings,
    per: Per = None,
    mode: RunFolderModes = None,
    window: Window = FIRST_LAST,
    device: Devices = None,
    process: Process = None,
    phases: PhaseFile = None,
    out: Out = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
) -> None:
    """Say what changed between recordings, which part explains it, and if it is more than noise.

    With three recordings or more of one side, noise is how they differ; else how the stretches of a
    recording do.
    """
    from idlescope.cli.actions.compare import Selection, compare_command

    selection = Selection(mode, window, tuple(device or ()), process, phases)
    compare_command(
        recordings, selection, per, Output(out, force, as_json, verbose), as_markdown
    )
