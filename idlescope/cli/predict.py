"""`idlescope predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope.cli.options import FIRST_LAST, AsJson, RunFolderMode, StepMs, Window

CHANGE = "What is to be different"
# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
TraceToReplay = Annotated[
    Path,
    typer.Argument(help="A trace that `analyze` reads, with at least three steps."),
]
HostFactor = Annotated[
    float,
    typer.Option(
        help="Factor of the host work: 0.5 is a host twice as fast.", rich_help_panel=CHANGE
    ),
]
DeviceFactor = Annotated[
    float,
    typer.Option(
        help="Factor of the device's compute time: 0.7 is a faster GPU.",
        rich_help_panel=CHANGE,
    ),
]
Depth = Annotated[
    int,
    typer.Option(
        help="Steps in flight: 1 is synchronous, 2 asynchronous batching.",
        rich_help_panel=CHANGE,
    ),
]
AsGraphs = Annotated[
    bool,
    typer.Option(
        "--graphs",
        help="Kernels that are launched one by one become one graph per step.",
        rich_help_panel=CHANGE,
    ),
]
AllPinned = Annotated[
    bool,
    typer.Option(
        "--pinned",
        help="Copies of memory that is not pinned no longer block the host.",
        rich_help_panel=CHANGE,
    ),
]
Without = Annotated[
    Optional[str],
    typer.Option(
        metavar="PHASE",
        help="A phase, span or range of the host that costs nothing: detokenize.",
        rich_help_panel=CHANGE,
    ),
]


def predict(
    trace: TraceToReplay,
    mode: RunFolderMode = None,
    host: HostFactor = 1.0,
    device: DeviceFactor = 1.0,
    depth: Depth = 2,
    graphs: AsGraphs = False,
    pinned: AllPinned = False,
    without: Without = None,
    window: Window = FIRST_LAST,
    step_ms: StepMs = None,
    as_json: AsJson = False,
) -> None:
    """Say what a trace's steps would take with asynchronous batching or another change: a replay.

    With the interval that the variation from step to step allows, and what further changes are
    worth.
    """
    from idlescope.analysis.prediction.what_if import WhatIf
    from idlescope.cli.actions.predict import predict_command

    what_if = WhatIf(depth, host, device, graphs, pinned, without)
    predict_command(trace, mode, what_if, window, step_ms, as_json)
