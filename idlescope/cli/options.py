"""Options that several commands have, and where a command puts its result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, Optional

import typer

from idlescope.cli.status import is_no_terminal
from idlescope.cli.suggestions import modes

if TYPE_CHECKING:
    from rich.console import Console

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
LOOK, KNOWN, OUTPUT = (
    "What to look at",
    "What you know of it",
    "Output",
)  # headings of --help
Out = Annotated[
    Optional[Path],
    typer.Option(help="Folder to write to.", show_default=False, rich_help_panel=OUTPUT),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Replace an earlier result in the folder.", rich_help_panel=OUTPUT
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the result as JSON, and nothing else.", rich_help_panel=OUTPUT
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Print every table, not only the first one.",
        rich_help_panel=OUTPUT,
    ),
]
Devices = Annotated[
    Optional[list[int]],
    typer.Option(
        "--device", help="Only this device; may be given again.", rich_help_panel=LOOK
    ),
]
Process = Annotated[
    Optional[str],
    typer.Option(
        help="Only processes whose pid, rank or file has this in it.", rich_help_panel=LOOK
    ),
]
Window = Annotated[
    str,
    typer.Option(
        help="first-last, range:NAME, steps:A-B or time:A-B (time:200ms-350ms).",
        rich_help_panel=LOOK,
    ),
]
PhaseFile = Annotated[
    Optional[Path],
    typer.Option(
        help='Span names of more engines: JSON {"engine": [["regular expression", "phase"]]}.',
        rich_help_panel=LOOK,
    ),
]
StepMs = Annotated[
    Optional[float],
    typer.Option(
        metavar="MS",
        help="How long a step takes without the profiler, in ms, where you know it: idle time, "
        "host work and predictions are then without the profiler's share.",
        show_default=False,
        rich_help_panel=KNOWN,
    ),
]
RunFolderMode = Annotated[
    Optional[str],
    typer.Option(
        help="Of a folder of `idlescope run`: sync or async.",
        autocompletion=modes,
        show_default=False,
        rich_help_panel=LOOK,
    ),
]
RunFolderModes = Annotated[
    Optional[str],
    typer.Option(
        help="Of folders of `idlescope run`: sync or async; every one they have unless given.",
        autocompletion=modes,
        show_default=False,
        rich_help_panel=LOOK,
    ),
]
FIRST_LAST = "first-last"  # the window unless given


class Output(NamedTuple):
    """Where a command puts its result."""

    folder: Path | None  # none is written unless given, or the command has one of its own
    force: bool  # replace what is in it
    as_json: bool  # the result on stdout, and nothing else there
    verbose: bool = False  # all tables, not the first alone

    def console(self) -> Console:
        """Return the terminal for everything but the result."""
        from rich.console import Console

        return Console(stderr=self.as_json)

    def progress_console(self) -> Console | None:
        """Return the terminal that lines of progress are drawn on; None where there is none.

        What only prints JSON does without rich, which takes 25 ms to import.
        """
        if self.as_json and is_no_terminal(sys.stderr):
            return None
        return self.console()
