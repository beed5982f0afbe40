"""A process that analyses one file of ranks after the other, and how it is asked.

It is a copy of this process where that can be made, else the program of child.py.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Union

import msgspec

from idlescope.analysis.ranks.asked import HEAD_LENGTH, RankBytesError, RankOptions
from idlescope.analysis.ranks.kept import KeptSummaries
from idlescope.children.cores import VARIABLE, allow
from idlescope.children.forked import may_fork
from idlescope.children.start import Child, close, command, copy_or_program
from idlescope.errors import TraceError
from idlescope.trace import remote
from idlescope.trace.formats import import_reader

if TYPE_CHECKING:
    from idlescope.analysis.ranks.rank_file import RankFile

Outcome = Union["RankFile", TraceError]


class RankProcess:
    """A process that analyses one file after the other, on so many cores."""

    def __init__(self, options: RankOptions, kept: KeptSummaries, cores: int = 1) -> None:
        self._options = options
        self._kept = kept
        self._cores = cores
        self._has_ended = False
        self._starting = Lock()
        self._process = self._start()

    def _start(self) -> Child:
        options_text = msgspec.json.encode(self._options).decode()
        return copy_or_program(
            self._be_copy,
            command("idlescope.analysis.ranks.child", options_text),
            {**os.environ, VARIABLE: str(self._cores)},
        )

    def _be_copy(self) -> None:
        from idlescope.analysis.ranks.child import answer

        allow(self._cores)
        answer(self._options)

    def __enter__(self) -> RankProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process, whatever it does."""
        self.end()
        close(self._process)

    def end(self) -> None:
        """Kill the process, also while another thread waits for its answer; none follows it."""
        with self._starting:
            self._has_ended = True
            self._process.kill()

    def ask(self, path: Path) -> Outcome:
        """Return what a file gives; a process that ends is an error of that file alone."""
        from idlescope.analysis.ranks.rank_file import unpacked

        try:
            head, columns = self._answer(path)
            outcome = unpacked(head, columns)
        except (OSError, RankBytesError) as error:
            self._start_again()
            shown = remote.shown(path)
            return TraceError(f"{shown} could not be analysed: its process ended ({error})")
        if isinstance(outcome, str):
            return TraceError(outcome)
        self._kept.keep(path, head, columns)
        return outcome

    def _answer(self, path: Path) -> tuple[bytes, bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        place = remote.url_of(path) or str(path.resolve())
        stdin.write(msgspec.json.encode(place) + b"\n")
        stdin.flush()
        lengths = stdout.read(HEAD_LENGTH.size)
        if len(lengths) < HEAD_LENGTH.size:
            raise RankBytesError("it gave no answer")
        head_length, columns_length = HEAD_LENGTH.unpack(lengths)
        return stdout.read(head_length), stdout.read(columns_length)

    def _start_again(self) -> None:
        self._process.kill()
        close(self._process)
        with self._starting:
            if not self._has_ended:
                self._process = self._start()


def import_for_copies(path: Path) -> None:
    """Import what copies of this process need to analyse a file; nothing where none can be made."""
    if not may_fork():
        return
    import_module("idlescope.analysis.ranks.child")
    if remote.url_of(path) is None:
        with suppress(TraceError):  # which is said when it is read
            import_reader(path)
