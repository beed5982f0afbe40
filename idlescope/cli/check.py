"""`idlescope check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope.cli.options import (
    FIRST_LAST,
    OUTPUT,
    AsJson,
    Devices,
    Force,
    PhaseFile,
    Process,
    RunFolderModes,
    Window,
)

LIMITS = "Limits"
# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
TraceToCheck = Annotated[
    Path,
    typer.Argument(help="A trace that `analyze` reads, or a folder of `idlescope run`."),
]
MaxIdle = Annotated[
    Optional[str],
    typer.Option(
        help="Idle, of the window: 5%.", show_default=False, rich_help_panel=LIMITS
    ),
]
MaxIdlePerStep = Annotated[
    Optional[str],
    typer.Option(
        help="Idle per step, milliseconds: 0.3.", show_default=False, rich_help_panel=LIMITS
    ),
]
MaxExposedCommunication = Annotated[
    Optional[str],
    typer.Option(
        help="Time in which only communication runs, waiting for other ranks in it included, of "
        "the window: 10%.",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
MaxWaiting = Annotated[
    Optional[str],
    typer.Option(
        help="Time in which a rank only waits for others, of the window, with the traces of all "
        "ranks: 5%.",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
MinCoverage = Annotated[
    Optional[str],
    typer.Option(
        help="How much of what ran the trace must hold: 95%. A trace on which no verdict can be "
        "given fails.",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
MaxRegression = Annotated[
    Optional[str],
    typer.Option(
        help="Longer time per step than --against, beyond noise: 2%.",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
Against = Annotated[
    Optional[list[Path]],
    typer.Option(
        help="What regressions are measured from; may be given again.",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
MaxCreep = Annotated[
    Optional[str],
    typer.Option(
        help="Rise of idle or time per step above the best level of --history, in one commit or in "
        "many, beyond noise: 10%.",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
HISTORY = "History"
HistoryFile = Annotated[
    Optional[Path],
    typer.Option(
        "--history",
        help="Add a line for this commit to this file (JSON lines), and show the trend.",
        show_default=False,
        rich_help_panel=HISTORY,
    ),
]
Commit = Annotated[
    Optional[str],
    typer.Option(
        help="What the recording is of; as CI or the repository around says, unless given.",
        show_default=False,
        rich_help_panel=HISTORY,
    ),
]
TrendFolder = Annotated[
    Optional[Path],
    typer.Option(
        "--out",
        help="Folder for the trend of --history: trend.md, check.json and figures.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
JUnit = Annotated[
    Optional[Path],
    typer.Option(
        help="Write JUnit XML to this file.", show_default=False, rich_help_panel=OUTPUT
    ),
]
GitHub = Annotated[
    Optional[bool],
    typer.Option(
        "--github/--no-github",
        help="Print annotations for GitHub; in its Actions unless told otherwise.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def check(
    trace: TraceToCheck,
    max_idle: MaxIdle = None,
    max_idle_ms_per_step: MaxIdlePerStep = None,
    max_exposed_communication: MaxExposedCommunication = None,
    max_waiting: MaxWaiting = None,
    min_coverage: MinCoverage = None,
    max_regression: MaxRegression = None,
    against: Against = None,
    max_creep: MaxCreep = None,
    history: HistoryFile = None,
    commit: Commit = None,
    mode: RunFolderModes = None,
    window: Window = FIRST_LAST,
    device: Devices = None,
    process: Process = None,
    phases: PhaseFile = None,
    junit: JUnit = None,
    github: GitHub = None,
    out: TrendFolder = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Hold a trace to limits: exit code 0 where all hold, 1 where one does not, 2 for no trace.

    What the trace cannot tell does not hold.
    """
    from idlescope.analysis.comparison.limits import Limits
    from idlescope.cli.actions.check import Announced, Remembered, check_command
    from idlescope.cli.actions.compare import Selection

    limits = Limits.of(
        max_idle=max_idle,
        max_idle_ms_per_step=max_idle_ms_per_step,
        max_exposed_communication=max_exposed_communication,
        max_waiting=max_waiting,
        min_coverage=min_coverage,
        max_regression=max_regression,
        max_creep=max_creep,
    )
    selection = Selection(mode, window, tuple(device or ()), process, phases)
    check_command(
        trace,
        limits,
        against or (),
        selection,
        Announced(junit, github, as_json),
        Remembered(history, commit, out, force),
    )
