"""`idlescope convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from idlescope.cli.options import OUTPUT, Force

Source = Annotated[Path, typer.Argument(help="A trace that `analyze` reads.")]
Target = Annotated[
    Path,
    typer.Argument(
        help="FILE.json[.gz] for Perfetto, FILE.sqlite for Nsight, FOLDER for Parquet."
    ),
]


def _print_module(asked: bool) -> None:
    if asked:
        import sys

        from idlescope.export.perfetto.sql import module_text

        sys.stdout.write(module_text())
        raise typer.Exit


PerfettoSql = Annotated[
    bool,
    typer.Option(
        "--perfetto-sql",
        callback=_print_module,
        is_eager=True,
        help="Print a module of Perfetto's SQL, idle time by cause, and convert nothing.",
        rich_help_panel=OUTPUT,
    ),
]


def convert(
    source: Source, target: Target, force: Force = False, perfetto_sql: PerfettoSql = False
) -> None:
    """Convert a trace between Nsight, Kineto/Perfetto JSON and Parquet."""
    from idlescope.cli.actions.convert import convert_command

    convert_command(source, target, force)
