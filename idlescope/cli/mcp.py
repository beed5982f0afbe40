"""`idlescope mcp`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
Roots = Annotated[
    Optional[list[Path]],
    typer.Argument(
        help="Files and folders that may be read; nothing outside of them is. The current folder, "
        "unless given.",
        show_default=False,
    ),
]


def mcp(roots: Roots = None) -> None:
    """Answer an agent's questions on traces, by the Model Context Protocol over stdin and stdout.

    The tools are analyze, gaps, steps, predict, compare, check and explain. Answers are typed and
    small; what a trace does not tell is said, with what to record.
    """
    from idlescope.agents.server import serve
    from idlescope.cli.signals import end_at_once

    end_at_once()
    serve(roots or [Path()])
