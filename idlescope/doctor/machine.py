"""What can be asked of the machine that idlescope is on: files, commands, versions."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

DRIVER = "/proc/driver/nvidia/version"

# How long a killed command is waited for: one that is stuck in a driver cannot be killed.
REAP_S = 1.0


class Output(NamedTuple):
    """What a command came to."""

    status: int | None  # None where it did not end in time and was killed
    text: str  # standard output
    errors: str = ""


class Clock(NamedTuple):
    """What Python says of `time.perf_counter`."""

    implementation: str
    monotonic: bool
    resolution_s: float


class Machine:
    """The machine that this process runs on; tests give another."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment variables."""
        return os.environ

    def read(self, path: str) -> str | None:
        """Return a text file; None where it is not there or may not be read."""
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return None

    def which(self, command: str) -> str | None:
        """Return where a command is on PATH."""
        return shutil.which(command)

    def has_driver(self) -> bool:
        """Return whether there are signs of an NVIDIA driver; nothing is run or loaded to tell."""
        return self.read(DRIVER) is not None or self.which("nvidia-smi") is not None

    def run(self, command: Sequence[str], timeout_s: float) -> Output | None:
        """Return what a command writes, killed after a time; None where it cannot be started."""
        try:
            process = subprocess.Popen(  # noqa: S603 - from the user's own PATH
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError:
            return None
        try:
            output_text, errors = process.communicate(timeout=timeout_s)
            return Output(process.returncode, output_text, errors)
        except subprocess.TimeoutExpired:
            return Output(None, "")
        finally:
            if process.returncode is None:
                _kill(process)

    def version(self, package: str) -> str | None:
        """Return the version of an installed package, which is not imported."""
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    def clock(self) -> Clock:
        """Return what times are read from."""
        clock_info = time.get_clock_info("perf_counter")
        return Clock(clock_info.implementation, clock_info.monotonic, clock_info.resolution)

    def worker_cores(self) -> tuple[int, ...]:
        """Return the cores that the CPU device's worker would have to itself."""
        from idlescope.engine.devices.cpu import worker_cores

        return worker_cores()

    def user(self) -> int | None:
        """Return the effective user's number; None where there is none."""
        return os.geteuid() if hasattr(os, "geteuid") else None

    def folder(self) -> str:
        """Return the current folder."""
        return str(Path.cwd())

    def writable(self, folder: str) -> bool | None:
        """Return whether files may be made in a folder; None where it is none."""
        return os.access(folder, os.W_OK | os.X_OK) if Path(folder).is_dir() else None

    def free_bytes(self, folder: str) -> int:
        """Return the room in a folder's file system. Raises OSError if not told."""
        return shutil.disk_usage(folder).free


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a command and what it started: `nsys` is a script that starts another program."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=REAP_S)


def last_line(output: Output | None) -> str:
    """Return the last line that a command wrote."""
    if output is None:
        return "it says nothing"
    output_lines = f"{output.text}\n{output.errors}".strip().splitlines()
    return output_lines[-1] if output_lines else "it says nothing"
