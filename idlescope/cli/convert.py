"""`idlescope convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from idlescope.cli.options import Force

Source = Annotated[Path, typer.Argument(help="A trace that `analyze` reads.")]
Target = Annotated[
    Path,
    typer.Argument(
        help="FILE.json[.gz] for Perfetto, FILE.sqlite for Nsight, FOLDER for Parquet."
    ),
]


def convert(source: Source, target: Target, force: Force = False) -> None:
    """Convert a trace between Nsight, Kineto/Perfetto JSON and Parquet."""
    from idlescope.cli.actions.convert import convert_command

    convert_command(source, target, force)
