"""Options that several commands have, and where a command puts its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, Optional

import typer

if TYPE_CHECKING:
    from rich.console import Console

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
Out = Annotated[
    Optional[Path], typer.Option(help="Folder to write to.", show_default=False)
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an earlier result in the folder.")
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print the result as JSON, and nothing else."),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Print every table, not only the first one."),
]
Devices = Annotated[
    Optional[list[int]],
    typer.Option("--device", help="Only this device; may be given again."),
]
Process = Annotated[
    Optional[str],
    typer.Option(help="Only processes whose pid, rank or file has this in it."),
]
Window = Annotated[
    str,
    typer.Option(help="first-last, range:NAME, steps:A-B or time:A-B (time:200ms-350ms)."),
]
PhaseFile = Annotated[
    Optional[Path],
    typer.Option(
        help='Span names of more engines: JSON {"engine": [["regular expression", "phase"]]}.'
    ),
]
StepMs = Annotated[
    Optional[float],
    typer.Option(
        metavar="MS",
        help="How long a step takes without the profiler, in ms, where you know it: idle time, "
        "host work and predictions are then without the profiler's share.",
        show_default=False,
    ),
]
RunFolderMode = Annotated[
    Optional[str],
    typer.Option(
        help="Of a folder of `idlescope run`: sync or async.",
        show_default=False,
    ),
]
RunFolderModes = Annotated[
    Optional[str],
    typer.Option(
        help="Of folders of `idlescope run`: sync or async; every one they have unless given.",
        show_default=False,
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
