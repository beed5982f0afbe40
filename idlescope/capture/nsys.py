"""Nsight Systems around one of our runs: the range that it records, and the command for it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from idlescope.capture.ranges import DOMAIN, USER, annotation, nvtx_listens
from idlescope.children import start

WINDOW = "window"  # the range that opens and closes the recording

# Set in the environment of a run that is being recorded, so that it starts no other.
UNDER_NSYS = "IDLESCOPE_UNDER_NSYS"
# The second: names that are not registered open the recording, too.
ENVIRONMENT = {UNDER_NSYS: "1", "NSYS_NVTX_PROFILER_REGISTER_ONLY": "0"}


class NsysProfiler:
    """Implements `window.WindowProfiler`: Nsight Systems records while a range is open."""

    def __init__(self) -> None:
        self._range: Any = None
        self.recorded = False

    def warm(self) -> None:
        """Do nothing: Nsight Systems is there from the start of the process."""

    def start(self) -> None:
        """Open the range."""
        if nvtx_listens():
            self._range = annotation(WINDOW, USER)
            self._range.__enter__()

    def stop(self) -> None:
        """Close the range."""
        if self._range is not None:
            self._range.__exit__(None, None, None)
            self._range = None
            self.recorded = True

    def write(self, path: Path) -> None:
        """Do nothing: Nsight Systems writes its report when the process has ended."""


def on_path() -> str | None:
    """Return where nsys is."""
    return shutil.which("nsys")


def command(
    run: Sequence[str],
    report: Path,
    nsys: str = "nsys",
    program: Sequence[str] = ("python3", "-m", "idlescope"),
) -> list[str]:
    """Return the command that records the window of an `idlescope run` into a report.

    `run` are the words behind `idlescope`. Graphs are recorded node by node: as a whole, which is
    nsys's default, there are no kernels under them.
    """
    return [
        nsys,
        "profile",
        "--trace=cuda,nvtx",
        "--sample=none",
        "--cpuctxsw=none",
        "--cuda-graph-trace=node",
        "--capture-range=nvtx",
        f"--nvtx-capture={WINDOW}@{DOMAIN}",
        "--capture-range-end=stop",
        "--force-overwrite=true",
        f"--output={report}",
        *program,
        *run,
    ]


def command_line(run: Sequence[str], report: Path) -> str:
    """Return the same command as a line for a shell on another machine."""
    variables = " ".join(
        f"{variable}={setting}" for variable, setting in ENVIRONMENT.items()
    )
    return f"{variables} {shlex.join(command(run, report))}"


def this_command(run: Sequence[str], report: Path) -> list[str]:
    """Return the same command for this machine, where nsys is."""
    return command(run, report, on_path() or "nsys", start.command("idlescope"))
