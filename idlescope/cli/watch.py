"""`idlescope watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope.cli.check import LIMITS, MaxIdlePerStep
from idlescope.cli.options import LOOK, OUTPUT, AsJson

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
Places = Annotated[
    Optional[list[str]],
    typer.Argument(
        metavar="URL|FOLDER",
        help="Of a process with a watch, http://127.0.0.1:PORT; of a vLLM, SGLang or Dynamo "
        "server without one; or the folder where watched processes are listed: this user's, "
        "unless given.",
        show_default=False,
    ),
]
For = Annotated[
    Optional[str],
    typer.Option(
        "--for",
        metavar="TIME",
        help="Watch for so long, 60s, then print what that time was like; until Ctrl-C unless "
        "given, or at once where no terminal is written to.",
        show_default=False,
        rich_help_panel=LOOK,
    ),
]
MaxIdle = Annotated[
    Optional[str],
    typer.Option(
        help="Idle, of the time with requests: 5%.",
        show_default=False,
        rich_help_panel=LIMITS,
    ),
]
Rules = Annotated[
    Optional[Path],
    typer.Option(
        metavar="DIR",
        help="Write alert rules for Prometheus, an example of its configuration and a dashboard "
        "for Grafana to this folder, and watch nothing.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Replace such files in the folder.", rich_help_panel=OUTPUT
    ),
]


def watch(
    places: Places = None,
    watch_for: For = None,
    max_idle: MaxIdle = None,
    max_idle_ms_per_step: MaxIdlePerStep = None,
    rules: Rules = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show how idle the devices of running engines are, and why, as it happens.

    Engines started with IDLESCOPE_WATCH=1, and loops with idlescope.watch(), tell it. With limits,
    the exit code is 0 where all hold, 1 where one does not; what cannot be told does not hold.
    Ctrl-C ends with the last table. Nothing but what is named is contacted.
    """
    from idlescope.analysis.comparison.limits import Limits
    from idlescope.cli.actions.watch import Asked, rules_command, watch_command

    limits = Limits.of(max_idle=max_idle, max_idle_ms_per_step=max_idle_ms_per_step)
    asked = Asked(tuple(places or ()), watch_for, limits, as_json)
    if rules is not None:
        rules_command(rules, force, asked)
    else:
        watch_command(asked)
