"""Read the `.trace.json.gz` that JAX and TensorFlow write beside an `.xplane.pb` into a Trace.

It has the events of the same planes and lines (xla/tsl/profiler/convert/trace_events_to_json.cc): a
process for each plane, a thread for each line, statistics as arguments, times in microseconds. It
holds a million events at most; what there were more was left out when it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from idlescope.errors import TraceError
from idlescope.trace import chrome_events
from idlescope.trace.event_rows import EventRows
from idlescope.trace.gathered import Gathered
from idlescope.trace.model import Trace
from idlescope.trace.xla.meaning import Event, Line, Meaning

MOST_EVENTS = 1_000_000  # that XLA writes (trace_container.h, kMaxEvents)
ADVICE = "give the .xplane.pb that lies beside it"


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of a file, `.json` or `.json.gz`.

    `progress` is called with the number of events read so far. Without `frames`, operators and
    Python frames are left out.

    Raises TraceError for a file that is damaged, or holds no events.
    """
    gathered = Gathered(progress)
    events = chrome_events.decoded(path, ADVICE)
    planes = chrome_events.names_of(events, "process_name")
    lines = chrome_events.names_of(events, "thread_name")
    meaning = Meaning(EventRows(gathered, frames), "host")
    timed_events = chrome_events.timed(events)
    if len(timed_events) >= MOST_EVENTS:
        gathered.damage.cut(
            f"XLA writes {MOST_EVENTS:,} events at most into such a file: {ADVICE}",
            f"event {MOST_EVENTS:,}",
        )
    for event, start, end in timed_events:
        plane = planes.get(str(event.pid), "")
        line_name = lines.get(str((event.pid, event.tid)), str(event.tid))
        line = meaning.of_line(Line(plane, line_name))
        if line is None:
            continue
        if start is None or end is None:
            place = f"{plane}, {line_name}"
            gathered.damage.dropped("events without a time were left out", place, "unknown")
            continue
        statistics = event.args if isinstance(event.args, dict) else {}
        meaning.add(line, Event(event.name, start, end, statistics))
    meaning.finish()
    if not gathered.events:
        raise TraceError(f"{path} holds no events: {ADVICE}")
    return gathered.trace("xla", path)
