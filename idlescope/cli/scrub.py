"""`idlescope scrub`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from idlescope.cli.options import Force

Source = Annotated[Path, typer.Argument(help="A trace or export to be shared.")]
Target = Annotated[Path, typer.Argument(help="The copy to write, of the same format.")]


KeepThreads = Annotated[
    bool, typer.Option("--keep-threads", help="Keep the names that threads were given.")
]
KeepInstants = Annotated[
    bool, typer.Option("--keep-instants", help="Keep the names of instants.")
]


def scrub(
    source: Source,
    target: Target,
    keep_threads: KeepThreads = False,
    keep_instants: KeepInstants = False,
    force: Force = False,
) -> None:
    """Copy a trace without environment, command lines, host names and process lists.

    Names of threads and instants are left out, too, unless they are to be kept. Its figures stay
    the same.
    """
    from idlescope.cli.actions.scrub import scrub_command
    from idlescope.trace.scrub.counts import Kept

    scrub_command(source, target, force, Kept(keep_threads, keep_instants))
