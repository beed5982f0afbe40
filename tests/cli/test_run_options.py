"""An option of a run is one field: its help, its place on the command line and its bounds follow."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from idlescope import RunConfig
from idlescope.cli.app import app
from idlescope.cli.run_options import of_config, values, with_options
from idlescope.errors import ConfigError
from idlescope.experiment.option import Group, flag, option, options_of
from idlescope.hardware.gpus import GPUS

WIDE = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


@dataclass(frozen=True)
class Wider(RunConfig):
    """A configuration with one option more."""

    toy_size: int | None = option(
        None,
        group=Group.MEASUREMENT,
        lowest=2,
        highest=9,
        quantity="toys",
        help="Of the toy.",
    )


def test_a_field_becomes_an_option_with_help_and_bounds():
    received = []
    toy_app = typer.Typer()

    @toy_app.command()
    @with_options(of_config(Wider))
    def run(**options):
        received.append(Wider(**values(options, Wider)))

    shown = CliRunner().invoke(toy_app, ["--help"], env=WIDE).output
    assert "--toy-size" in shown
    assert "Of the toy. Toys from 2 to 9." in " ".join(shown.split())
    options = ["--toy-size", "5", "--device", "modelled", "--tokens", "7", "--no-graphs"]
    done = CliRunner().invoke(toy_app, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert received == [Wider(toy_size=5, device="modelled", tokens=7, graphs=False)]
    assert "--toy-size 5" in " ".join(received[0].words())
    with pytest.raises(ConfigError, match="--toy-size is 10: give toys from 2 to 9"):
        Wider(toy_size=10)


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_help_keeps_every_option(command):
    shown = CliRunner().invoke(app, [command, "--help"], env=WIDE).output
    for described in options_of(RunConfig):
        if command == "run" or described.option.swept:
            assert (
                f"{flag(described.name)} " in shown or f"{flag(described.name)}\n" in shown
            )
            first_words = " ".join(described.option.help.split()[:3])
            assert command == "sweep" or first_words in " ".join(shown.split())


def test_every_field_is_an_option():
    assert [described.name for described in options_of(RunConfig)] == list(
        RunConfig.__dataclass_fields__
    )


def test_every_gpu_is_named():
    (device,) = (each for each in options_of(RunConfig) if each.name == "device")
    for key in GPUS:
        assert f"{key}," in device.option.help or f"{key};" in device.option.help
