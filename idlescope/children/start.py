"""Start a child process that runs a module of idlescope and imports no one else's.

A child is started by the path of a file of ours, isolated (`-I`), and is told where this process
imports from; or it is a copy of this process, which imports nothing more. Nothing that is pickled
goes to it or comes from it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Protocol

from idlescope.children.forked import ForkedChild, may_fork
from idlescope.children.import_path import safe_path

ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "entry.py")


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module, by its dotted name, as a program of its own."""
    import_path = json.dumps(safe_path())
    return [sys.executable, "-I", ENTRY, import_path, module, *arguments]


class Child(Protocol):
    """A child process, a copy or a program, with its two pipes."""

    @property
    def pid(self) -> int:
        """Return its number."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """Return what it is asked through."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Return what it answers through."""

    def kill(self) -> None:
        """End it."""

    def wait(self) -> int:
        """Wait until it has ended; return its exit code."""


def copy_or_program(
    work: Callable[[], object],
    words: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start a copy of this process that does some work, or else the command that does the same.

    `environment` is the command's.
    """
    if may_fork():
        with suppress(OSError):  # no memory for a copy, as the system counts it
            return ForkedChild(work)
    return subprocess.Popen(  # noqa: S603 - a module of ours, no shell
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def close(child: Child) -> None:
    """Close the pipes of a child that has answered or was killed, and wait for its end."""
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with suppress(OSError):  # what it was still to be told
                stream.close()
    child.wait()
