"""What holds for every command: terminals of any kind, and what the system refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from idlescope.cli.terminal_size import forget_unreadable_sizes
from tests.make.commands import idlescope, refused


def test_one_that_knows_only_ascii_is_written_to(trace):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "idlescope", "analyze", str(trace)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["COLUMNS", "LINES", "TERMINAL_WIDTH"])
@pytest.mark.parametrize("stated", ["²", "wide", "-1", "9" * 5000])
def test_a_size_of_the_terminal_that_is_none_is_as_if_not_there(monkeypatch, name, stated):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv(name, stated)
    forget_unreadable_sizes()
    assert name not in os.environ


def test_a_size_of_the_terminal_stays(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    forget_unreadable_sizes()
    assert os.environ["COLUMNS"] == "100"


DRAWING = """
import sys
from idlescope.cli import main
sys.argv = ["idlescope", "explain", "host"]
try:
    main()
except SystemExit:
    pass
import matplotlib
"""


def test_what_names_a_window_for_figures_is_not_asked():
    environment = {**os.environ, "MPLBACKEND": "misspelt"}
    result = subprocess.run(
        [sys.executable, "-c", DRAWING],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_every_command_begins_with_that():
    environment = {**os.environ, "COLUMNS": "²", "TERMINAL_WIDTH": "wide"}
    command = [sys.executable, "-m", "idlescope", "analyze", "--help"]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_what_the_system_refuses_is_one_sentence(trace, undrawn, tmp_path):
    in_the_way = tmp_path / "o" / "analysis.json"
    in_the_way.mkdir(parents=True)
    (in_the_way / "mine.txt").write_text("keep me")
    refused(
        idlescope("analyze", trace, "--out", tmp_path / "o", "--force"),
        "analysis.json is in the way of the result: move it, or give another place",
    )
    assert (in_the_way / "mine.txt").read_text() == "keep me"


def to(stream, *arguments):
    """The exit code of a command whose output goes to a stream, and what it says on stderr."""
    command = [sys.executable, "-m", "idlescope", *map(str, arguments)]
    result = subprocess.run(
        command, stdout=stream, stderr=subprocess.PIPE, text=True, check=False
    )
    return result.returncode, result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_output_that_is_full_is_one_sentence(trace, options):
    with open("/dev/full", "w") as full:
        code, said = to(full, "analyze", trace, *options)
    assert code == 2
    assert said.count("\n") == 1
    assert "No space left on device: nothing more can be written there; free some" in said


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_goes_away_is_no_error_to_speak_of(trace, options):
    reader, writer = os.pipe()
    os.close(reader)
    code, said = to(writer, "analyze", trace, *options)
    os.close(writer)
    assert (code in (1, 141), said) == (True, "")


def test_a_file_that_may_not_grow_leaves_nothing_half_written(trace, tmp_path):
    """A limit of the process stands for a full disk: the same call fails."""
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        f"sys.argv = ['idlescope', 'analyze', {str(trace)!r}, '--out', 'o'];"
        "from idlescope.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", limited],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("idlescope: ")
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path != trace] == []
