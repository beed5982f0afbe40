"""Read an `.xplane.pb` file of JAX or TensorFlow into a Trace.

The messages are those of xla/tsl/profiler/protobuf/xplane.proto. An event's time is its line's
`timestamp_ns` and its own `offset_ps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from idlescope.errors import TraceError
from idlescope.trace import protobuf
from idlescope.trace.damage import LOSS
from idlescope.trace.event_rows import EventRows
from idlescope.trace.gathered import Gathered
from idlescope.trace.model import Trace
from idlescope.trace.protobuf import MalformedError, Value, Walk
from idlescope.trace.xla.meaning import Event, Line, Meaning

# Numbers of fields.
SPACE_PLANE, SPACE_ERROR, SPACE_WARNING = 1, 2, 3
PLANE_NAME, PLANE_LINE, PLANE_EVENTS, PLANE_STATISTICS, PLANE_STATISTIC = 2, 3, 4, 5, 6
LINE_NAME, LINE_TIMESTAMP_NS, LINE_EVENT, LINE_DISPLAY_NAME = 2, 3, 4, 11
EVENT_METADATA, EVENT_OFFSET_PS, EVENT_DURATION_PS, EVENT_STATISTIC = 1, 2, 3, 4
STAT_METADATA, STAT_DOUBLE, STAT_UINT, STAT_INT = 1, 2, 3, 4
STAT_TEXT, STAT_BYTES, STAT_REFERENCE = 5, 6, 7
ENTRY_KEY, ENTRY_VALUE, METADATA_NAME = 1, 2, 2

ENVIRONMENT = "Task Environment"  # the plane that says when the profile began
RECORD_AGAIN = "record again with `jax.profiler.trace(FOLDER)`"
PS = 1000  # of a ns


@dataclass
class _Plane:
    """A plane, whose lines are read once its names are known."""

    name: str = ""
    lines: list[bytes] = field(default_factory=list)
    statistics: list[bytes] = field(default_factory=list)
    event_names: dict[int, str] = field(default_factory=dict)
    statistic_names: dict[int, str] = field(default_factory=dict)


def read(
    path: Path, progress: Callable[[int], None] | None = None, frames: bool = True
) -> Trace:
    """Return the Trace of an XPlane file.

    `progress` is called with the number of events read so far. Without `frames`, operators and
    Python frames are left out. Of a file that was cut off what is there is read.

    Raises TraceError for a file that is damaged, or holds no events.
    """
    gathered = Gathered(progress)
    walk = Walk()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    said: dict[str, list[str]] = {"errors": [], "warnings": []}
    try:
        planes = list(_planes(walk, content, said))
    except MalformedError as error:
        raise TraceError(
            f"{path} is damaged ({error}): copy it again, or {RECORD_AGAIN}"
        ) from error
    meaning = Meaning(EventRows(gathered, frames), _process(walk, planes))
    for plane in planes:
        _read_plane(walk, plane, meaning)
    meaning.finish()
    if walk.cut:
        gathered.damage.cut("the file ends within an event", f"byte {len(content):,}")
    if not gathered.events:
        raise TraceError(f"{path} holds no events: {RECORD_AGAIN}")
    return gathered.trace(
        "xla",
        path,
        dropped=tuple(message for message in said["warnings"] if LOSS.search(message)),
        profiler_errors=tuple(said["errors"]),
        session_start_ns=_session_start(walk, planes),
    )


def _planes(walk: Walk, space: bytes, said: dict[str, list[str]]) -> Iterator[_Plane]:
    for number, value in walk.fields(space):
        if number == SPACE_PLANE:
            yield _plane(walk, protobuf.message(value))
        elif number == SPACE_ERROR:
            said["errors"].append(protobuf.text(value))
        elif number == SPACE_WARNING:
            said["warnings"].append(protobuf.text(value))


def _plane(walk: Walk, message: bytes) -> _Plane:
    plane = _Plane()
    for number, value in walk.fields(message):
        if number == PLANE_NAME:
            plane.name = protobuf.text(value)
        elif number == PLANE_LINE:
            plane.lines.append(protobuf.message(value))
        elif number == PLANE_STATISTIC:
            plane.statistics.append(protobuf.message(value))
        elif number in (PLANE_EVENTS, PLANE_STATISTICS):
            is_events = number == PLANE_EVENTS
            names = plane.event_names if is_events else plane.statistic_names
            key, name = _named(walk, protobuf.message(value))
            names[key] = name
    return plane


def _named(walk: Walk, entry: bytes) -> tuple[int, str]:
    """Return the id and the name of an entry of a map of metadata."""
    key, name = 0, ""
    for number, value in walk.fields(entry):
        if number == ENTRY_KEY:
            key = protobuf.signed(value)
        elif number == ENTRY_VALUE:
            for inner, inner_value in walk.fields(protobuf.message(value)):
                if inner == METADATA_NAME:
                    name = protobuf.text(inner_value)
    return key, name


def _read_plane(walk: Walk, plane: _Plane, meaning: Meaning) -> None:
    damage = meaning.gathered.damage
    try:
        meaning.describe(plane.name, _statistics(walk, plane, plane.statistics))
    except MalformedError:
        damage.repaired("descriptions of planes that cannot be read", plane.name)
    for message in plane.lines:
        try:
            name, timestamp_ns, events = _line(walk, message)
        except MalformedError:
            damage.dropped("lines that cannot be read were left out", plane.name, "unknown")
            continue
        line = meaning.of_line(Line(plane.name, name))
        if line is None:
            continue
        for event_number, event_message in enumerate(events):
            try:
                event = _event(walk, plane, event_message, timestamp_ns)
            except MalformedError:
                event = None
            if event is None:
                place = f"{plane.name}, {name}, event {event_number + 1:,}"
                damage.dropped("events that cannot be read were left out", place, "unknown")
            else:
                meaning.add(line, event)


def _line(walk: Walk, message: bytes) -> tuple[str, int, list[bytes]]:
    """Return the name, the time (ns) and the events of a line."""
    name, display_name, timestamp_ns = "", "", 0
    events = []
    for number, value in walk.fields(message):
        if number == LINE_EVENT:
            events.append(protobuf.message(value))
        elif number == LINE_NAME:
            name = protobuf.text(value)
        elif number == LINE_DISPLAY_NAME:
            display_name = protobuf.text(value)
        elif number == LINE_TIMESTAMP_NS:
            timestamp_ns = protobuf.signed(value)
    return name or display_name, timestamp_ns, events


def _event(walk: Walk, plane: _Plane, message: bytes, timestamp_ns: int) -> Event | None:
    """Return an event; None for one without a known name."""
    metadata_id, offset_ps, duration_ps = 0, 0, 0
    statistics = []
    for number, value in walk.fields(message):
        if number == EVENT_METADATA:
            metadata_id = protobuf.signed(value)
        elif number == EVENT_OFFSET_PS:
            offset_ps = protobuf.signed(value)
        elif number == EVENT_DURATION_PS:
            duration_ps = protobuf.signed(value)
        elif number == EVENT_STATISTIC:
            statistics.append(protobuf.message(value))
    if metadata_id not in plane.event_names:
        return None
    start_ps = timestamp_ns * PS + offset_ps
    return Event(
        plane.event_names[metadata_id],
        (start_ps + PS // 2) // PS,
        (start_ps + duration_ps + PS // 2) // PS,
        _statistics(walk, plane, statistics),
    )


def _statistics(walk: Walk, plane: _Plane, messages: list[bytes]) -> dict[str, Any]:
    """Return the statistics of an event or a plane by their names."""
    found: dict[str, Any] = {}
    for message in messages:
        name, said = "", None
        for number, value in walk.fields(message):
            if number == STAT_METADATA:
                name = plane.statistic_names.get(protobuf.signed(value), "")
            else:
                said = _value(plane, number, value)
        if name:
            found[name] = said
    return found


def _value(plane: _Plane, number: int, value: Value) -> Any:
    if number == STAT_UINT:
        return value if isinstance(value, int) else 0
    if number == STAT_INT:
        return protobuf.signed(value)
    if number == STAT_REFERENCE:
        return plane.statistic_names.get(protobuf.signed(value), "")
    if number == STAT_DOUBLE:
        return protobuf.double(value)
    return protobuf.text(value) if number == STAT_TEXT else None


def _process(walk: Walk, planes: list[_Plane]) -> str:
    """Return what the process is called: its pid, which newer versions state."""
    for plane in planes:
        pid = _said(walk, plane, "process_id")
        if isinstance(pid, int) and pid > 0:
            return str(pid)
    return "host"


def _session_start(walk: Walk, planes: list[_Plane]) -> int | None:
    """Return the time that the profile's 0 stands for, ns since 1970; None where it is not said."""
    for plane in planes:
        if plane.name == ENVIRONMENT:
            start = _said(walk, plane, "profile_start_time")
            return start if isinstance(start, int) and start < 2**63 else None
    return None


def _said(walk: Walk, plane: _Plane, name: str) -> Any:
    """Return a statistic of a plane; None where it has none, or cannot be read."""
    try:
        return _statistics(walk, plane, plane.statistics).get(name)
    except MalformedError:
        return None
