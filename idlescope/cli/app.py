"""The commands, in the order of `idlescope --help`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import getdoc
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from idlescope import __version__
from idlescope.cli.examples import epilog
from idlescope.cli.plain_values import with_plain_values
from idlescope.cli.signals import interruptible

# heading of the help -> commands; each is a module of idlescope.cli with a function of that name
PANELS = {
    "Try it without a trace": ("run", "sweep"),
    "Explain a trace": ("analyze", "explain", "predict", "compare", "view"),
    "Record and guard": ("capture", "watch", "check", "doctor"),
    "For agents": ("mcp", "skill"),
    "Files": ("convert", "scrub", "schema"),
}
COMMANDS = tuple(name for names in PANELS.values() for name in names)


class ImportedWhenAsked(TyperGroup):
    """A group whose commands are imported one by one: `analyze` waits for no option of `run`.

    Contexts and commands are click's: of another package in newer releases of typer.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None for a name that is none."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _command(cmd_name)
        return self.commands.get(cmd_name)

    def get_params(self, ctx: Any) -> Any:
        """Return the options of all commands."""
        return with_plain_values(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments begin with; of a typing error, the nearest."""
        if args and args[0] not in COMMANDS:
            for name in COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Return what the words of the command line mean."""
        return interruptible(super().make_context)(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        return interruptible(super().invoke)(ctx)


class OneCommand(TyperCommand):
    """A command that imports nothing for values that need no reading."""

    def get_params(self, ctx: Any) -> Any:
        """Return its options and arguments."""
        return with_plain_values(super().get_params(ctx))


app = typer.Typer(
    name="idlescope",
    cls=ImportedWhenAsked,
    help="See, explain and remove the idle time of a GPU that serves a language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=epilog("idlescope"),
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(name: str) -> Any:
    function = getattr(import_module(f"idlescope.cli.{name}"), name)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    panel = next(title for title, names in PANELS.items() if name in names)
    named = alone.command(
        name,
        cls=OneCommand,
        help=_help(function),
        epilog=epilog(name),
        rich_help_panel=panel,
    )
    named(function)
    return typer.main.get_command(alone)


def _help(command: Callable[..., None]) -> str:
    """Return a command's docstring with one line per paragraph: the terminal wraps them."""
    paragraphs = (getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


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
