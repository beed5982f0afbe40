"""`idlescope capture`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import typer

from idlescope.cli.options import AsJson, Force, Out, Output
from idlescope.cli.suggestions import one_of

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
URLs = Annotated[
    list[str],
    typer.Argument(
        metavar="URL...",
        help="Of the server: http://HOST:PORT. Several (data-parallel ones) record at once.",
    ),
]
Traces = Annotated[
    Path,
    typer.Option(
        help="The folder that the servers write their traces to, as seen from here."
    ),
]
EngineName = Annotated[
    str,
    typer.Option(help="vllm or sglang.", autocompletion=one_of(("vllm", "sglang"))),
]
Seconds = Annotated[
    Optional[float],
    typer.Option(
        help="How long the server's profiler records: 5 unless given; with --steps, how long it "
        "waits for them: 60 unless given.",
        show_default=False,
    ),
]
Steps = Annotated[
    Optional[int],
    typer.Option(help="Record so many steps, not a time.", show_default=False),
]
Stacks = Annotated[
    bool,
    typer.Option("--stacks", help="Record Python stacks, too: steps take far longer then."),
]
Shapes = Annotated[
    bool, typer.Option("--shapes", help="Record the shapes of operators' inputs, too.")
]
Ranks = Annotated[
    Optional[int],
    typer.Option(
        help="Wait for so many trace files, of all servers. Unless given, until no more appear for "
        "2 s, or for 20 where they say that a rank is missing.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        help="Seconds to wait for each answer of the server, and for its trace files."
    ),
]


def capture(
    url: URLs,
    traces: Traces,
    engine: EngineName,
    seconds: Seconds = None,
    steps: Steps = None,
    stacks: Stacks = False,
    shapes: Shapes = False,
    ranks: Ranks = None,
    timeout: Timeout = 300.0,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Record running vLLM or SGLang servers with their own profiler, and analyse the traces.

    Before and after, the server's own counters say how long a step takes without the profiler; that
    is noted in unprofiled.json beside the traces. Traces of several ranks are analysed together.
    Nothing but URL is contacted. A server that wants
    a key gets that of IDLESCOPE_API_KEY, else VLLM_API_KEY or OPENAI_API_KEY. For dynamo, URL is
    http://HOST:SYSTEM_PORT/engine/control. Ctrl-C stops the server's profiler, too.
    """
    from idlescope.capture.server.recording import Recording
    from idlescope.cli.actions.capture import capture_command

    first = Recording(
        url[0],
        engine,
        traces,
        seconds=seconds,
        steps=steps,
        stacks=stacks,
        shapes=shapes,
        ranks=ranks,
        timeout=timeout,
    )
    recordings = [replace(first, url=address) for address in dict.fromkeys(url)]
    capture_command(recordings, Output(out, force, as_json))
