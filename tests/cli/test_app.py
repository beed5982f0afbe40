"""The commands together: their help, and the version."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from idlescope import __version__
from idlescope.cli.app import COMMANDS, PANELS, app
from idlescope.cli.examples import EXAMPLES
from tests.make.commands import idlescope, in_a_process


def test_help_needs_none_of_the_heavy_libraries():
    program = (
        "import sys; sys.argv = ['idlescope', '--help']\n"
        "from idlescope.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'pandas', 'matplotlib', 'pyarrow', 'msgspec', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
    assert "analyze" in result.stdout


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
