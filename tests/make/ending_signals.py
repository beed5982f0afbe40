"""Signals that ask a command to end: Ctrl-C, `kill`, and a terminal that is closed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.make.commands import ROOT

ENDING = pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    ids=lambda number: number.name,
)


def obeying(number: int) -> Callable[[], object]:
    """Return what a child calls first: under nohup it would ignore a hang-up as its parent does."""
    return partial(signal.signal, number, signal.SIG_DFL)


class Ended(NamedTuple):
    """How a command ended that was sent a signal."""

    code: int
    stdout: str
    stderr: str
    was_sent: bool


# Commands as children of one process that has imported them: each is forked, and sends itself the
# signal when it opens a file whose path holds a text.
FORKING = """
import importlib, json, os, pkgutil, signal, sys
import idlescope.cli.actions
from idlescope.cli import main
from tests.make.undrawn import figures_undrawn

for module in pkgutil.iter_modules(idlescope.cli.actions.__path__):
    importlib.import_module(f"idlescope.cli.actions.{module.name}")


def child(case):
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(case[name], os.O_WRONLY | os.O_CREAT), descriptor)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        is_ignored = number == case["ignored"]
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if is_ignored else usual)

    def heard(event, arguments):
        if event != "open" or case["at"] not in str(arguments[0]) or os.path.exists(case["sent"]):
            return
        case["at"] = "\\0"
        os.mkdir(case["sent"])
        for _ in range(case["times"]):
            os.kill(os.getpid(), case["number"])

    sys.addaudithook(heard)
    os.chdir(case["folder"])
    sys.argv = ["idlescope", *case["words"]]
    with figures_undrawn():
        main()


for line in sys.stdin:
    case = json.loads(line)
    child_id = os.fork()
    if child_id == 0:
        child(case)
        raise SystemExit(0)
    _, status = os.waitpid(child_id, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Commands:
    """Starts commands that send themselves a signal."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "COLUMNS": "400",
                "NO_COLOR": "1",
                "IDLESCOPE_JOBS": "2",
            },
        )

    def run(
        self,
        folder: Path,
        words: Sequence[object],
        at: str,
        number: int,
        *,
        times: int = 1,
        ignored: int = 0,
    ) -> Ended:
        """Run a command in a folder, and send it a signal when it opens a file that is called so."""
        beside = folder.with_name(f"{folder.name}-beside")
        beside.mkdir()
        case = {
            "folder": str(folder),
            "words": list(map(str, words)),
            "at": at,
            "number": number,
            "times": times,
            "ignored": ignored,
            "sent": str(beside / "sent"),
            "stdout": str(beside / "stdout"),
            "stderr": str(beside / "stderr"),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        said = [(beside / name).read_text() for name in ("stdout", "stderr")]
        was_sent = (beside / "sent").is_dir()
        shutil.rmtree(beside)
        return Ended(code, *said, was_sent)

    def close(self) -> None:
        """End them."""
        self._process.communicate()
