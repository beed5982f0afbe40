"""Commands as a newcomer types them: in this process, which saves starting one, or in its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from idlescope.cli import main

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


def in_a_process(*arguments, cwd=None):
    """Run a command as `idlescope` does, in a process of its own."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "idlescope", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def refused(result, *parts):
    """One clear sentence on stderr, exit code 2, nothing on stdout."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("idlescope: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
