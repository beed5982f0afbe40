"""Read the `.trace.json.gz` that JAX and TensorFlow write beside an `.xplane.pb` into a Trace.

It has the events of the same planes and lines (xla/tsl/profiler/convert/trace_events_to_json.cc): a
process for each plane, a thread for each line, statistics as arguments, times in microseconds. It
holds a million events at most; what there were more was left out when it was written.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from idlescope.errors import TraceError
from idlescope.trace.event_rows import EventRows
from idlescope.trace.gathered import Gathered
from idlescope.trace.kineto.times import exact_ns
from idlescope.trace.model import Trace
from idlescope.trace.xla.meaning import Event, Line, Meaning

MOST_EVENTS = 1_000_000  # that XLA writes (trace_container.h, kMaxEvents)
ADVICE = "give the .xplane.pb that lies beside it"


class JsonEvent(Struct, gc=False):
    """An event, as far as it is read."""

    ph: str = ""
    pid: int = 0
    tid: int = 0
    name: str = ""
    ts: float | int | None = None
    dur: float | int | None = None
    args: dict[str, Any] = {}


class Document(Struct):
    """A whole file."""

    events: list[JsonEvent] = msgspec.field(name="traceEvents")


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a file, `.json` or `.json.gz`.

    `progress` is called with the number of events read so far. Without `frames`, operators and
    Python frames are left out.

    Raises TraceError for a file that is damaged, or holds no events.
    """
    gathered = Gathered(progress)
    events = _events(path)
    planes = _names(events, "process_name")
    lines = _names(events, "thread_name")
    rows = EventRows(gathered, frames)
    meaning = Meaning(rows, "host")
    timed = [event for event in events if event.ph == "X"]
    if len(timed) >= MOST_EVENTS:
        gathered.damage.cut(
            f"XLA writes {MOST_EVENTS:,} events at most into such a file: {ADVICE}",
            f"event {MOST_EVENTS:,}",
        )
    starts, known_starts = exact_ns(
        [event.ts for event in timed], lambda: [str(event.ts) for event in timed]
    )
    lengths, known_lengths = exact_ns(
        [event.dur for event in timed], lambda: [str(event.dur) for event in timed]
    )
    readable = known_starts & known_lengths
    for event, start, length, is_readable in zip(
        timed, starts.tolist(), lengths.tolist(), readable.tolist(), strict=True
    ):
        plane = planes.get((event.pid, 0), "")
        line = Line(plane, lines.get((event.pid, event.tid), str(event.tid)))
        if not meaning.is_wanted(line):
            continue
        if not is_readable:
            place = f"{plane}, {line.name}"
            gathered.damage.dropped("events without a time were left out", place, "unknown")
            continue
        meaning.add(line, Event(event.name, start, start + length, event.args))
    rows.finish("event")
    if not gathered.events:
        raise TraceError(f"{path} holds no events: {ADVICE}")
    return gathered.trace("xla", path)


def _events(path: Path) -> Sequence[JsonEvent]:
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        return msgspec.json.decode(content, type=Document).events
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
        raise TraceError(f"{path} is damaged ({error}): {ADVICE}") from error


def _names(events: Sequence[JsonEvent], kind: str) -> dict[tuple[int, int], str]:
    """Return the names of processes, whose thread is 0, or of threads."""
    is_thread = kind == "thread_name"
    return {
        (event.pid, event.tid if is_thread else 0): str(event.args.get("name", ""))
        for event in events
        if event.ph == "M" and event.name == kind
    }
