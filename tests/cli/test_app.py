"""The commands together: their help, and the version."""

from __future__ import annotations

import pytest
import typer

from idlescope import __version__
from idlescope.cli.app import COMMANDS, PANELS, app
from idlescope.cli.examples import EXAMPLES
from tests.make.commands import idlescope, imported_by, in_a_process


def test_help_needs_none_of_the_heavy_libraries():
    heavy = ("numpy", "pandas", "matplotlib", "pyarrow", "msgspec", "torch")
    assert imported_by(["--help"], heavy) == []
    assert "analyze" in in_a_process("--help").stdout


def test_version():
    assert in_a_process("--version").stdout == f"idlescope {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples_of_options_that_there_are(name):
    shown = idlescope(name, "--help").stdout
    examples = EXAMPLES[name]
    command = typer.main.get_command(app).get_command(None, name)
    known = {word for parameter in command.params for word in parameter.opts}
    assert shown.index("Options") < shown.index("Examples:")
    for example in examples:
        words = example.split()
        assert words[:2] == ["idlescope", name]
        assert {word for word in words if word.startswith("--")} <= known
        assert example in " ".join(shown.split())


def test_commands_stand_in_groups():
    shown = idlescope("--help").stdout
    places = [shown.index(f"─ {title} ─") for title in PANELS]
    assert places == sorted(places)
