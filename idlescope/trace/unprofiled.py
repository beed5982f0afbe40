"""How long a step takes without the profiler, as `idlescope capture` wrote it beside its traces.

A recorded step is longer than an unrecorded one. Before and after a recording the server's own
counters say how long its steps take while nothing records them. The file `unprofiled.json` in the
folder of the traces has an entry per capture, the newest last:

    {"schema": 1, "captures": [{"traces": ["NAME.json.gz", ...], "step_ms": 7.6, "low_ms": 7.4,
      "high_ms": 7.9, "method": "...", "counters": {"NAME": increase, ...}}]}
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
from msgspec import Struct

from idlescope.plain_files import read_plain
from idlescope.trace import drafts
from idlescope.trace.unseen import encoded

FILE = "unprofiled.json"
SCHEMA = 1


class UnprofiledStep(Struct, frozen=True):
    """The time of a step that no profiler recorded, in milliseconds."""

    step_ms: float
    low_ms: float  # the shortest and the longest of the intervals that it was measured over
    high_ms: float
    method: str  # how it was found, as words


class CaptureEntry(Struct, frozen=True):
    """What one capture noted beside its traces."""

    traces: list[str]  # their names in the folder
    step_ms: float
    low_ms: float
    high_ms: float
    method: str
    counters: dict[str, float]  # of the server: by how much each grew while it was measured

    @property
    def step(self) -> UnprofiledStep:
        """Return the time of a step."""
        return UnprofiledStep(self.step_ms, self.low_ms, self.high_ms, self.method)

    @property
    def makes_sense(self) -> bool:
        """Return whether the times are positive and in order."""
        return 0 < self.low_ms <= self.step_ms <= self.high_ms < math.inf


class Document(Struct, frozen=True):
    """The file."""

    schema: int
    captures: list[CaptureEntry]


def beside(path: Path) -> UnprofiledStep | None:
    """Return the time of a step without the profiler that was noted beside a trace.

    `path` is a trace, or a folder of traces: then the newest entry with a trace that is still
    there. None where there is no entry for it, or the file is damaged or another program's.
    """
    in_folder = path.is_dir()
    folder = path if in_folder else path.parent
    for capture_entry in reversed(_entries(folder)):
        if not capture_entry.makes_sense:
            continue
        if in_folder and any(
            (folder / trace_name).exists() for trace_name in capture_entry.traces
        ):
            return capture_entry.step
        if not in_folder and path.name in capture_entry.traces:
            return capture_entry.step
    return None


def of_a_lost_trace(path: Path) -> str:
    """Return what to say of a time beside a trace that is of none that is there; "" where none is.

    For a trace that `beside` has none of: one that was renamed after its capture lost it.
    """
    folder = path if path.is_dir() else path.parent
    for capture_entry in reversed(_entries(folder)):
        gone = not any((folder / name).exists() for name in capture_entry.traces)
        if gone and capture_entry.traces and capture_entry.makes_sense:
            return (
                f"{FILE} beside it is of {capture_entry.traces[0]}, which is not there: if that is "
                f"this trace under another name, give --step-ms {capture_entry.step_ms:.3g}"
            )
    return ""


def write_beside(
    traces: list[Path], step: UnprofiledStep, counters: dict[str, float]
) -> Path:
    """Note a step's time beside the traces of a capture, all in one folder; return the file.

    Entries of earlier captures stay. Raises OSError where the folder cannot be written to.
    """
    folder = traces[0].parent
    trace_names = sorted(path.name for path in traces)
    new_entry = CaptureEntry(
        trace_names, step.step_ms, step.low_ms, step.high_ms, step.method, dict(counters)
    )
    earlier = [
        old_entry
        for old_entry in _entries(folder)
        if not set(old_entry.traces) & set(trace_names)
    ]
    document = encoded(Document(SCHEMA, [*earlier, new_entry]))
    entries_file = folder / FILE
    drafts.put(entries_file, msgspec.json.format(document, indent=1) + b"\n")
    return entries_file


def _entries(folder: Path) -> list[CaptureEntry]:
    try:
        document = _decoder.decode(read_plain(folder / FILE))
    except (
        OSError,
        ValueError,
        msgspec.MsgspecError,
        RecursionError,
    ):  # ValueError: a path that none can be
        return []
    return document.captures if document.schema == SCHEMA else []


_decoder = msgspec.json.Decoder(Document)
