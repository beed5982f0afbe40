"""The commands, in the order of `idlescope --help`."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc
from typing import Annotated

import typer

from idlescope import __version__
from idlescope.cli.analyze import analyze
from idlescope.cli.capture import capture
from idlescope.cli.check import check
from idlescope.cli.compare import compare
from idlescope.cli.convert import convert
from idlescope.cli.doctor import doctor
from idlescope.cli.predict import predict
from idlescope.cli.run import run
from idlescope.cli.schema import schema
from idlescope.cli.scrub import scrub
from idlescope.cli.sweep import sweep
from idlescope.cli.view import view

COMMANDS = (
    run,
    sweep,
    analyze,
    compare,
    check,
    predict,
    capture,
    convert,
    scrub,
    view,
    doctor,
    schema,
)

app = typer.Typer(
    name="idlescope",
    help="See, explain and remove the idle time of a GPU that serves a language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(command: Callable[..., None]) -> str:
    """Return a command's docstring with one line per paragraph: the terminal wraps them."""
    paragraphs = (getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for command in COMMANDS:
    app.command(help=_help(command))(command)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"idlescope {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version.",
    ),
]


@app.callback()
def _root(version: Version = False) -> None:
    pass
