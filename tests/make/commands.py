"""Commands as a newcomer types them: in this process, which saves starting one, or in its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from idlescope.cli import main

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "run",
    "--model",
    "tiny",
    "--tokens",
    "30",
    "--batch-size",
    "4",
    "--device",
    "modelled:a100",
]


def idlescope(*arguments, cwd=None, columns=100):
    """Run a command and return what it printed and its exit code, as of a process."""
    command, code, before = ["idlescope", *map(str, arguments)], 0, Path.cwd()
    streams = [
        io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)
    ]
    with (
        patch.dict(os.environ, COLUMNS=str(columns), NO_COLOR="1"), patch.object(sys, "argv", command),
        redirect_stdout(streams[0]), redirect_stderr(streams[1]),
    ):  # fmt: skip
        os.chdir(cwd or before)
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            os.chdir(before)
    return subprocess.CompletedProcess(
        command, code, *(s.buffer.getvalue().decode() for s in streams)
    )


def imported_by(command, modules):
    """Run a command in a process of its own; return those of some modules that it imports."""
    program = (
        "import sys\n"
        "from idlescope.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(*[name for name in {modules!r} if name in sys.modules], file=sys.stderr)"
    )
    words = [sys.executable, "-c", program, *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout
    return done.stderr.splitlines()[-1].split()


def in_a_process(*arguments, cwd=None):
    """Run a command as `idlescope` does, in a process of its own."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "idlescope", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


WITHOUT = """
import json, sys
modules, commands = json.load(sys.stdin)
sys.modules.update(dict.fromkeys(modules))  # to import one of them is an ImportError
from tests.make.commands import idlescope
said = [idlescope(*command) for command in commands]
json.dump([[one.args, one.returncode, one.stdout, one.stderr] for one in said], sys.stdout)
"""


def without(modules, commands, cwd):
    """Run commands, one after the other, in one process in which these modules cannot be imported."""
    asked = json.dumps([modules, [list(map(str, command)) for command in commands]])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=asked,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [subprocess.CompletedProcess(*said) for said in json.loads(done.stdout)]


def refused(result, *parts):
    """One clear sentence on stderr, exit code 2, nothing on stdout."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("idlescope: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
