"""`idlescope capture`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope.cli.options import AsJson, Force, Out, Output

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
URL = Annotated[str, typer.Argument(metavar="URL", help="Of the server: http://HOST:PORT.")]
Traces = Annotated[
    Path,
    typer.Option(help="The folder that the server writes its traces to, as seen from here."),
]
EngineName = Annotated[str, typer.Option(help="vllm or sglang.")]
Seconds = Annotated[float, typer.Option(help="How long the server's profiler records.")]
Ranks = Annotated[
    Optional[int],
    typer.Option(
        help="Wait for so many trace files; until no more appear for 2 s unless given.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(help="Seconds to wait for each answer of the server, and for its trace files."),
]


def capture(
    url: URL,
    traces: Traces,
    engine: EngineName,
    seconds: Seconds = 5.0,
    ranks: Ranks = None,
    timeout: Timeout = 300.0,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Record a running vLLM or SGLang server with its own profiler, and analyse the traces.

    Nothing but URL is contacted. Ctrl-C stops the server's profiler, too.
    """
    from idlescope.capture.server import Recording
    from idlescope.cli.actions.capture import capture_command

    recording = Recording(url, engine, traces, seconds, ranks, timeout)
    capture_command(recording, Output(out, force, as_json))
