"""On the runners of GitHub's Actions, no line that is printed can be a command to the runner.

A line that begins with `::error::` is one, wherever it came from: a name in a trace may hold those
letters, and a table or a long path may be wrapped in front of them.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

COMMAND = re.compile(r"^(\s*)::", re.MULTILINE)


class WorkflowSafe(io.TextIOWrapper):
    """A text stream whose lines never begin as a command does, but those that are meant to."""

    _begins_line = True  # so far, white space apart

    def write(self, text: str) -> int:
        """Write text; a line that would begin as a command begins with a sign of omission."""
        safe_text = COMMAND.sub("\\1…::", text if self._begins_line else f"\0{text}")
        safe_text = safe_text.removeprefix("\0")
        last_line = text.rpartition("\n")[2]
        if "\n" in text or self._begins_line:
            self._begins_line = not last_line.strip()
        super().write(safe_text)
        return len(text)

    def command(self, line: str) -> None:
        """Write a line that is a command."""
        super().write(f"{line}\n")


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard stdout and stderr, for the block, where this runs in GitHub's Actions."""
    streams = sys.stdout, sys.stderr
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stdout, sys.stderr = map(_guarded, streams)
    try:
        yield
    finally:
        guards = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = streams
        for guard in guards:
            if isinstance(guard, WorkflowSafe):
                with suppress(
                    OSError, ValueError
                ):  # nobody reads it any more, or it is closed
                    guard.detach()


def say_command(line: str, stream: TextIO) -> None:
    """Print a command to the runner."""
    if isinstance(stream, WorkflowSafe):
        stream.command(line)
    else:
        print(line, file=stream)


def _guarded(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return WorkflowSafe(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=True,
    )
