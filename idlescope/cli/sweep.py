"""`idlescope sweep`."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from idlescope.cli.options import AsJson, Force, Out, Output, Verbose
from idlescope.cli.run_options import of_config, values, with_options
from idlescope.cli.suggestions import devices, models

LIST = "LIST"
# ruff: noqa: UP045, B006 - typer reads types at run time, on Python 3.10, too, and copies defaults
Models = Annotated[
    list[str],
    typer.Option(
        help="As of `run`. Every option that takes LIST takes it.",
        metavar=LIST,
        autocompletion=models,
    ),
]
BatchSizes = Annotated[
    list[str], typer.Option(help="Requests that run at once.", metavar=LIST)
]
HostTimes = Annotated[
    Optional[list[str]],
    typer.Option(
        help="Fix the host time per step, milliseconds; it is measured unless given.",
        metavar=LIST,
        show_default=False,
    ),
]
DeviceNames = Annotated[
    list[str],
    typer.Option(
        help="As of `run`: modelled:h200,modelled:h100, cpu, cuda, auto.",
        metavar=LIST,
        autocompletion=devices,
    ),
]
Jobs = Annotated[
    Optional[int],
    typer.Option(
        help="Cells at once, of those of which nothing is measured; the cores unless given. "
        "Where time is measured a cell always runs alone.",
        show_default=False,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on in --out: keep the cells that ran to their end there."
    ),
]


@with_options(
    of_config(defaults={"tokens": 500}, only=lambda described: described.option.swept)
)
def sweep(
    model: Models = ["8b"],
    batch_size: BatchSizes = ["1,8,32,128"],
    host_ms: HostTimes = None,
    device: DeviceNames = ["auto"],
    jobs: Jobs = None,
    resume: Resume = False,
    out: Out = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Run a grid of models, batch sizes, host times and devices, and say when each stops idling.

    LIST is one or more, with commas between; the option may be given again.

    Each cell is written as it ends, then table.csv, table.parquet, heat maps and sweep.json: to
    reports/sweep or --out.

    Cells that cannot be run are listed with the reason. The exit code is 1 where one failed or none
    could be run.
    """
    from idlescope.cli.actions.sweep import Axes, sweep_command

    sweep_axes = Axes(model, device, host_ms or [], batch_size)
    sweep_command(
        sweep_axes, values(options), jobs, resume, Output(out, force, as_json, verbose)
    )
