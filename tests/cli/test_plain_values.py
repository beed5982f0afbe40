"""What is typed plainly is taken as it is; all else is typer's, and so is every error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import pytest
import typer

from idlescope.cli.plain_values import with_plain_values
from tests.conftest import FIXTURES
from tests.make.commands import without

TRACE = FIXTURES / "loop_sync.json.gz"


def command_of(function):
    """Return the command of a function, as typer makes it."""
    alone = typer.Typer(add_completion=False)
    alone.command()(function)
    return typer.main.get_command(alone)


def shown(
    trace: Path,
    out: Annotated[Optional[Path], typer.Option()] = None,  # noqa: UP045 - read at run time
    window: Annotated[str, typer.Option()] = "first-last",
    device: Annotated[Optional[list[int]], typer.Option()] = None,  # noqa: UP045
    jobs: Annotated[Optional[int], typer.Option(min=1)] = None,  # noqa: UP045
    steps: Annotated[bool, typer.Option("--steps")] = False,
):
    print(repr((trace, out, window, device, jobs, steps)))


WORDS = {
    "an argument alone": ["here"],
    "paths and texts": ["here", "--out", "o", "--window", "steps 3-5"],
    "no text": ["", "--window", ""],
    "numbers": ["here", "--device", "1", "--device", "2", "--jobs", "3", "--steps"],
    "no number": ["here", "--jobs", "x"],
    "too small a number": ["here", "--jobs", "0"],
    "no argument": [],
    "not of any text": ["h\udcffere", "--window", "\udcff"],
    "a folder": ["."],
    "no such option": ["here", "--nope"],
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_command_takes_what_typer_would(words, capsys):
    told = []
    for change in (list, with_plain_values):
        command = command_of(shown)
        command.params = list(change(command.params))
        with pytest.raises(SystemExit) as ended:
            command(words, prog_name="shown")
        told.append((ended.value.code, *capsys.readouterr()))
    assert told[0] == told[1]


def test_a_command_imports_nothing_for_plain_values(tmp_path):
    pytest.importorskip("pydantic")
    commands = [
        ["analyze", TRACE, "--json", "--window", "first-last"],
        ["check", TRACE, "--max-idle", "100%", "--junit", tmp_path / "j"],
    ]
    done = without(["pydantic"], commands, tmp_path)
    assert [one.returncode for one in done] == [0, 0]
