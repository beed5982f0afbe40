"""`idlescope scrub`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from idlescope.cli.options import Force

Source = Annotated[Path, typer.Argument(help="A trace or export to be shared.")]
Target = Annotated[Path, typer.Argument(help="The copy to write, of the same format.")]


def scrub(source: Source, target: Target, force: Force = False) -> None:
    """Copy a trace without environment, command lines, host names and process lists.

    Its figures stay the same.
    """
    from idlescope.cli.actions.scrub import scrub_command

    scrub_command(source, target, force)
