"""Traces and analyses that were asked for, kept so that further questions are answered at once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison import blocks
from idlescope.analysis.comparison.breakdown import Breakdown
from idlescope.analysis.result import Analysis
from idlescope.trace import unprofiled
from idlescope.trace.model import Trace
from idlescope.trace.open import open_trace
from idlescope.trace.table import Table

MOST_TRACES = 8
MOST_BYTES = 2 * 1024**3  # of the columns of all traces that are kept; the newest always is
MOST_ANALYSES = 8  # of one trace: windows, times of a step


class Choice(NamedTuple):
    """What of a trace is analysed."""

    window: str
    step_ms: float | None


class _Place(NamedTuple):
    """A file or folder as it was when it was read."""

    path: Path
    mode: str | None
    stamp: tuple[tuple[str, int, int], ...]  # name, time of change in ns, bytes


@dataclass
class _Kept:
    """A trace, and what was made of it."""

    trace: Trace
    analyses: OrderedDict[Choice, Analysis] = field(default_factory=OrderedDict)
    breakdowns: dict[Choice, Breakdown] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Return the bytes of the trace's columns."""
        tables = [getattr(self.trace, name) for name in self.trace.__dataclass_fields__]
        return sum(
            getattr(table, column).nbytes
            for table in tables
            if isinstance(table, Table)
            for column in table.DTYPES
        )


class Memory:
    """The traces that were asked for last. A file that has changed since is read again."""

    def __init__(
        self, most_traces: int = MOST_TRACES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._most_traces = most_traces
        self._most_bytes = most_bytes
        self._kept: OrderedDict[_Place, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def analysis(self, path: Path, mode: str | None, choice: Choice) -> Analysis:
        """Return the analysis of a trace. Raises TraceError and ConfigError as `analyze` does."""
        return self._analysis(self._trace(path, mode), choice)

    def breakdown(self, path: Path, mode: str | None, choice: Choice) -> Breakdown:
        """Return what a comparison needs of a trace. Raises as `analysis` does."""
        kept = self._trace(path, mode)
        analysis = self._analysis(kept, choice)
        if choice not in kept.breakdowns:
            kept.breakdowns[choice] = blocks.of_analysis(analysis)
        return kept.breakdowns[choice]

    def prepare(self) -> None:
        """Make what a comparison needs of the analysis that was asked for last, if there is one."""
        if not self._kept:
            return
        kept = next(reversed(self._kept.values()))
        if not kept.analyses:
            return
        choice, analysis = next(reversed(kept.analyses.items()))
        if analysis.results and choice not in kept.breakdowns:
            kept.breakdowns[choice] = blocks.of_analysis(analysis)

    def _trace(self, path: Path, mode: str | None) -> _Kept:
        place = _Place(path, mode, _stamp(path))
        if place not in self._kept:
            self._forget(path, mode)
            self._kept[place] = _Kept(open_trace(path, mode=mode))
        self._kept.move_to_end(place)
        self._make_room()
        return self._kept[place]

    def _analysis(self, kept: _Kept, choice: Choice) -> Analysis:
        if choice not in kept.analyses:
            kept.analyses[choice] = analyze(
                kept.trace, window=choice.window, step_ms=choice.step_ms
            )
        kept.analyses.move_to_end(choice)
        while len(kept.analyses) > MOST_ANALYSES:
            oldest, _ = kept.analyses.popitem(last=False)
            kept.breakdowns.pop(oldest, None)
        return kept.analyses[choice]

    def _forget(self, path: Path, mode: str | None) -> None:
        """Drop what a file was before it changed."""
        for place in [place for place in self._kept if place[:2] == (path, mode)]:
            del self._kept[place]

    def _make_room(self) -> None:
        """Drop the traces that were not asked for longest; the newest stays."""
        held = sum(kept.size for kept in self._kept.values())
        while len(self._kept) > 1 and (
            len(self._kept) > self._most_traces or held > self._most_bytes
        ):
            _, dropped = self._kept.popitem(last=False)
            held -= dropped.size


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes where a file, or a file of a folder, is written to."""
    if not path.exists():
        return ()
    files = [path]
    if path.is_dir():
        files += sorted((*path.glob("*"), *path.glob("*/*")))
    else:
        files += [path.parent / unprofiled.FILE]  # noted beside the trace
    stamps = [(file.name, file.stat()) for file in files if file.exists()]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in stamps)
