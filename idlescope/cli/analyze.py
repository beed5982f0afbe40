"""`idlescope analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope.cli.options import (
    FIRST_LAST,
    KNOWN,
    LOOK,
    OUTPUT,
    AsJson,
    Devices,
    Force,
    Out,
    Output,
    PhaseFile,
    Process,
    RunFolderMode,
    StepMs,
    Verbose,
    Window,
)
from idlescope.cli.suggestions import gpus, models

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
TraceToAnalyze = Annotated[
    Path,
    typer.Argument(
        help="A torch.profiler trace (.json, .json.gz), an Nsight Systems export (SQLite or "
        "Parquet folder) or report, a file of rocprofv3, RPD, XLA or "
        "Perfetto, any of them packed, "
        "a recording's folder, a folder of `idlescope run` with --mode, "
        "or a folder of traces, one per rank."
    ),
]
Rank = Annotated[
    Optional[int],
    typer.Option(
        help="Of several ranks, the details of this one, beside the others.",
        show_default=False,
        rich_help_panel=LOOK,
    ),
]
Cluster = Annotated[
    Optional[str],
    typer.Option(
        help="Analyse a folder of ranks on a Dask cluster: the scheduler's tcp://host:8786, or "
        "local:4.",
        show_default=False,
    ),
]
Jobs = Annotated[
    Optional[int],
    typer.Option(
        help="Processes that read at once; the cores unless given, or IDLESCOPE_JOBS.",
        min=1,
        show_default=False,
    ),
]
MinGap = Annotated[
    Optional[str],
    typer.Option(
        help="Count shorter gaps, but do not list them: 10us.", rich_help_panel=LOOK
    ),
]
Frames = Annotated[
    bool,
    typer.Option(
        "--frames/--no-frames",
        help="Read operators and Python frames, for what the host was in.",
        rich_help_panel=LOOK,
    ),
]
Steps = Annotated[
    bool, typer.Option("--steps", help="List every step.", rich_help_panel=OUTPUT)
]
ModelName = Annotated[
    Optional[str],
    typer.Option(
        help="For the roofline: a model as in `run`. Its batch is what span names say, or:",
        autocompletion=models,
        rich_help_panel=KNOWN,
    ),
]
BatchSize = Annotated[
    Optional[int],
    typer.Option(
        help="Requests that decode in a step, where span names do not say.",
        min=1,
        rich_help_panel=KNOWN,
    ),
]
Context = Annotated[
    Optional[int],
    typer.Option(
        help="Cached tokens a request has, on average.", min=0, rich_help_panel=KNOWN
    ),
]
GPUName = Annotated[
    Optional[str],
    typer.Option(
        help="Whose peaks count: h200, h100, a100, b200, l40s, rtx4090, and their other boards; "
        "what the trace says unless given.",
        autocompletion=gpus,
        rich_help_panel=KNOWN,
    ),
]


def analyze(
    trace: TraceToAnalyze,
    mode: RunFolderMode = None,
    window: Window = FIRST_LAST,
    device: Devices = None,
    process: Process = None,
    rank: Rank = None,
    cluster: Cluster = None,
    jobs: Jobs = None,
    min_gap: MinGap = None,
    phases: PhaseFile = None,
    frames: Frames = True,
    model: ModelName = None,
    batch_size: BatchSize = None,
    context: Context = None,
    gpu: GPUName = None,
    step_ms: StepMs = None,
    steps: Steps = False,
    out: Out = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Say how idle each GPU of a trace was, and why.

    Reads what torch.profiler, Nsight Systems and idlescope write; the trace is never changed.
    """
    from idlescope.children.cores import allow
    from idlescope.cli.actions.analyze import Selection, analyze_command

    if jobs is not None:
        allow(jobs)
    selection = Selection(
        mode=mode,
        window=window,
        device=tuple(device or ()),
        process=process,
        min_gap=min_gap,
        phases=phases,
        frames=frames,
        model=model,
        batch_size=batch_size,
        context=context,
        gpu=gpu,
        step_ms=step_ms,
        rank=rank,
        cluster=cluster,
    )
    analyze_command(trace, selection, Output(out, force, as_json, verbose), steps)
