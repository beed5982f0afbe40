"""The slices of a Perfetto trace: begins and ends brought together, names and clocks resolved.

The messages are those of protos/perfetto/trace/trace_packet.proto, track_event/track_event.proto,
interned_data/interned_data.proto and clock_snapshot.proto of google/perfetto. Interned strings and
clocks of their own belong to a sequence of packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from idlescope.trace import protobuf
from idlescope.trace.damage import Damage
from idlescope.trace.protobuf import MalformedError, Value, Walk

# Numbers of fields.
TRACE_PACKET = 1
CLOCK_SNAPSHOT, TIMESTAMP, SEQUENCE_ID, TRACK_EVENT, INTERNED_DATA = 6, 8, 10, 11, 12
SEQUENCE_FLAGS, RENDER_STAGE, CLOCK_ID, DEFAULTS, TRACK_DESCRIPTOR = 13, 53, 58, 59, 60
EVENT_DELTA_US, EVENT_CATEGORY_IID, EVENT_ANNOTATION, EVENT_TYPE = 1, 3, 4, 9
EVENT_NAME_IID, EVENT_TRACK, EVENT_ABSOLUTE_US, EVENT_CATEGORY, EVENT_NAME = (
    10,
    11,
    16,
    22,
    23,
)
NOTE_NAME_IID, NOTE_BOOL, NOTE_UINT, NOTE_INT, NOTE_DOUBLE = 1, 2, 3, 4, 5
NOTE_STRING, NOTE_POINTER, NOTE_NAME, NOTE_ARRAY, NOTE_STRING_IID = 6, 7, 10, 12, 17
INTERNED_CATEGORY, INTERNED_NAME, INTERNED_NOTE_NAME = 1, 2, 3
INTERNED_GPU, INTERNED_STRING = 24, 29
STAGE_ID, STAGE_DURATION, STAGE_EXTRA, STAGE_GPU, STAGE_QUEUE, STAGE_KIND = (
    1,
    2,
    6,
    11,
    13,
    14,
)
TRACK_UUID, TRACK_NAME, TRACK_PROCESS, TRACK_THREAD, TRACK_STATIC_NAME = 1, 2, 3, 4, 10
BEGIN, END = 1, 2  # TrackEvent.Type
STATE_CLEARED = 1  # TracePacket.SequenceFlags: what was interned is void

FIRST_OWN_CLOCK = 64  # clocks from here on are a sequence's own
US = 1000  # ns
MOST_SLICES = 5_000_000  # one takes half a kB in memory, however short its packet is


class TooManySlicesError(Exception):
    """A trace has more slices than can be read at once."""


class Track(NamedTuple):
    """Where slices are drawn."""

    name: str = ""
    pid: int = 0
    tid: int = 0


@dataclass
class Slice:
    """One slice; `end` is that of its end event, ns, None where there was none."""

    name: str
    category: str
    track: int
    start: int
    end: int | None
    arguments: dict[str, Any]


class Stage(NamedTuple):
    """One operation of a GPU, as GpuRenderStageEvent has it."""

    identity: int
    start: int
    end: int
    gpu: int
    queue: str
    kind: str
    arguments: dict[str, str]


@dataclass
class _Clock:
    """One of a sequence's own clocks, against the trace's."""

    offset: int  # ns of the trace's clock at the clock's zero
    unit: int  # ns
    is_incremental: bool
    now: int  # in its own units; of an incremental one


@dataclass
class _Sequence:
    """What packets of a sequence refer to."""

    interned: dict[tuple[int, int], str] = field(default_factory=dict)
    clocks: dict[int, _Clock] = field(default_factory=dict)
    default_clock: int = 0
    default_track: int = 0


class Packets:
    """One pass over the packets of a trace."""

    def __init__(self, damage: Damage) -> None:
        self.walk = Walk()
        self.tracks: dict[int, Track] = {}
        self.slices: list[Slice] = []
        self.stages: list[Stage] = []
        self._damage = damage
        self._sequences: dict[int, _Sequence] = {}
        self._events: dict[int, list[tuple[bool, int, Slice | None]]] = {}

    def read(self, content: bytes) -> None:
        """Read a whole trace. Raises MalformedError where it is none."""
        for packet_number, (number, value) in enumerate(self.walk.fields(content)):
            if number != TRACE_PACKET:
                continue
            try:
                self._packet(protobuf.message(value))
            except MalformedError:
                place = f"packet {packet_number + 1:,}"
                self._damage.dropped(
                    "packets that cannot be read were left out", place, "unknown"
                )
        for track, events in self._events.items():
            self._close(track, events)

    def _packet(self, message: bytes) -> None:
        fields: dict[int, Value] = dict(self.walk.fields(message))
        sequence_id = _number(fields.get(SEQUENCE_ID))
        sequence = self._sequences.setdefault(sequence_id, _Sequence())
        if _number(fields.get(SEQUENCE_FLAGS)) & STATE_CLEARED:
            sequence.interned.clear()
        if DEFAULTS in fields:
            self._defaults(sequence, protobuf.message(fields[DEFAULTS]))
        if CLOCK_SNAPSHOT in fields:
            self._snapshot(sequence, protobuf.message(fields[CLOCK_SNAPSHOT]))
        if INTERNED_DATA in fields:
            self._intern(sequence, protobuf.message(fields[INTERNED_DATA]))
        if TRACK_DESCRIPTOR in fields:
            self._describe(protobuf.message(fields[TRACK_DESCRIPTOR]))
        clock = _number(fields.get(CLOCK_ID)) or sequence.default_clock
        if TRACK_EVENT in fields or RENDER_STAGE in fields:
            time_ns = self._time(sequence, clock, _number(fields.get(TIMESTAMP)))
            if TRACK_EVENT in fields:
                self._event(sequence, protobuf.message(fields[TRACK_EVENT]), time_ns)
            else:
                self._stage(sequence, protobuf.message(fields[RENDER_STAGE]), time_ns)

    def _defaults(self, sequence: _Sequence, message: bytes) -> None:
        for number, value in self.walk.fields(message):
            if number == CLOCK_ID:
                sequence.default_clock = _number(value)
            elif number == TRACK_EVENT:
                for inner, inner_value in self.walk.fields(protobuf.message(value)):
                    if inner == EVENT_TRACK:
                        sequence.default_track = _number(inner_value)

    def _snapshot(self, sequence: _Sequence, message: bytes) -> None:
        """Take in how clocks stand to each other; the trace's is the first builtin one."""
        readings = []
        for number, value in self.walk.fields(message):
            if number == 1:
                said = dict(self.walk.fields(protobuf.message(value)))
                readings.append(tuple(_number(said.get(key)) for key in (1, 2, 3, 4)))
        builtin = [time for clock, time, *_ in readings if clock < FIRST_OWN_CLOCK]
        for clock, time, is_incremental, unit in readings:
            if clock >= FIRST_OWN_CLOCK:
                unit_ns = unit or 1
                offset = builtin[0] - time * unit_ns if builtin else 0
                sequence.clocks[clock] = _Clock(offset, unit_ns, bool(is_incremental), time)

    def _time(self, sequence: _Sequence, clock_id: int, timestamp: int) -> int:
        """Return a packet's time on the trace's clock, ns."""
        clock = sequence.clocks.get(clock_id)
        if clock is None:
            return timestamp
        if clock.is_incremental:
            clock.now += timestamp
            timestamp = clock.now
        return clock.offset + timestamp * clock.unit

    def _intern(self, sequence: _Sequence, message: bytes) -> None:
        wanted = (INTERNED_CATEGORY, INTERNED_NAME, INTERNED_NOTE_NAME, INTERNED_GPU)
        for number, value in self.walk.fields(message):
            if number in wanted or number == INTERNED_STRING:
                said = dict(self.walk.fields(protobuf.message(value)))
                key = number, _number(said.get(1))
                sequence.interned[key] = protobuf.text(said.get(2, 0))

    def _describe(self, message: bytes) -> None:
        uuid, name, pid, tid = 0, "", 0, 0
        for number, value in self.walk.fields(message):
            if number == TRACK_UUID:
                uuid = _number(value)
            elif number in (TRACK_NAME, TRACK_STATIC_NAME):
                name = protobuf.text(value) or name
            elif number == TRACK_PROCESS:
                said = dict(self.walk.fields(protobuf.message(value)))
                pid = protobuf.signed(said.get(1, 0))
                name = name or protobuf.text(said.get(6, 0))
            elif number == TRACK_THREAD:
                said = dict(self.walk.fields(protobuf.message(value)))
                pid = protobuf.signed(said.get(1, 0))
                tid = protobuf.signed(said.get(2, 0))
                name = protobuf.text(said.get(5, 0)) or name
        self.tracks[uuid] = Track(name, pid, tid)

    def _event(self, sequence: _Sequence, message: bytes, time_ns: int) -> None:
        kind, track, name, category = 0, sequence.default_track, "", ""
        arguments: dict[str, Any] = {}
        interned = sequence.interned
        for number, value in self.walk.fields(message):
            if number == EVENT_TYPE:
                kind = _number(value)
            elif number == EVENT_TRACK:
                track = _number(value)
            elif number == EVENT_NAME_IID:
                name = interned.get((INTERNED_NAME, _number(value)), "")
            elif number == EVENT_NAME:
                name = protobuf.text(value)
            elif number == EVENT_CATEGORY_IID:
                category = interned.get((INTERNED_CATEGORY, _number(value)), "")
            elif number == EVENT_CATEGORY:
                category = protobuf.text(value)
            elif number == EVENT_ANNOTATION:
                key, said = self._note(sequence, protobuf.message(value))
                arguments[key] = said
            elif number == EVENT_ABSOLUTE_US:
                time_ns = protobuf.signed(value) * US
        if kind == BEGIN:
            made = Slice(name, category, track, time_ns, None, arguments)
            self._events.setdefault(track, []).append((True, time_ns, made))
            self.slices.append(made)
            if len(self.slices) > MOST_SLICES:
                raise TooManySlicesError
        elif kind == END:
            self._events.setdefault(track, []).append((False, time_ns, None))

    def _note(self, sequence: _Sequence, message: bytes) -> tuple[str, Any]:
        """Return the name and the value of an argument."""
        name: str = ""
        said: Any = None
        interned = sequence.interned
        for number, value in self.walk.fields(message):
            if number == NOTE_NAME_IID:
                name = interned.get((INTERNED_NOTE_NAME, _number(value)), "")
            elif number == NOTE_NAME:
                name = protobuf.text(value)
            elif number in (NOTE_UINT, NOTE_POINTER, NOTE_BOOL):
                said = _number(value)
            elif number == NOTE_INT:
                said = protobuf.signed(value)
            elif number == NOTE_DOUBLE:
                said = protobuf.double(value)
            elif number == NOTE_STRING:
                said = protobuf.text(value)
            elif number == NOTE_STRING_IID:
                said = interned.get((INTERNED_STRING, _number(value)), "")
            elif number == NOTE_ARRAY:
                said = "array"
        return name, said

    def _stage(self, sequence: _Sequence, message: bytes, time_ns: int) -> None:
        fields: dict[int, Value] = {}
        arguments = {}
        for number, value in self.walk.fields(message):
            if number == STAGE_EXTRA:
                said = dict(self.walk.fields(protobuf.message(value)))
                arguments[protobuf.text(said.get(1, 0))] = protobuf.text(said.get(2, 0))
            else:
                fields[number] = value
        queue_key = INTERNED_GPU, _number(fields.get(STAGE_QUEUE))
        kind_key = INTERNED_GPU, _number(fields.get(STAGE_KIND))
        stage = Stage(
            identity=_number(fields.get(STAGE_ID)),
            start=time_ns,
            end=time_ns + _number(fields.get(STAGE_DURATION)),
            gpu=protobuf.signed(fields.get(STAGE_GPU, 0)),
            queue=sequence.interned.get(queue_key, f"queue {queue_key[1]}"),
            kind=sequence.interned.get(kind_key, "kernel"),
            arguments=arguments,
        )
        self.stages.append(stage)

    def _close(self, track: int, events: list[tuple[bool, int, Slice | None]]) -> None:
        """Give the slices of a track their ends."""
        times = [time for _, time, _ in events]
        is_live = times == sorted(times)
        unmatched = 0
        if is_live:
            unmatched = _close_nested(events)
        elif not _close_in_order(events):
            unmatched = _close_nested(
                sorted(events, key=lambda event: (event[1], event[0]))
            )
        place = self.tracks.get(track, Track()).name or f"track {track}"
        self._damage.dropped(
            "ends of slices that never began were left out", place, "unknown", unmatched
        )


def _close_nested(events: list[tuple[bool, int, Slice | None]]) -> int:
    """Let each end close the slice begun last; return how many ends close none."""
    open_slices: list[Slice] = []
    unmatched = 0
    for _, time_ns, begun in events:
        if begun is not None:
            open_slices.append(begun)
        elif open_slices:
            open_slices.pop().end = time_ns
        else:
            unmatched += 1
    return unmatched


def _close_in_order(events: list[tuple[bool, int, Slice | None]]) -> bool:
    """Let the first end close the first slice, as writers of whole tables order them.

    Return False, and close nothing, where that gives a slice that ends before it starts.
    """
    begun = [made for _, _, made in events if made is not None]
    ends = [time_ns for is_begin, time_ns, _ in events if not is_begin]
    pairs = list(_pairs(begun, ends))
    if len(begun) != len(ends) or any(end < made.start for made, end in pairs):
        return False
    for made, end in pairs:
        made.end = end
    return True


def _pairs(begun: list[Slice], ends: list[int]) -> Iterator[tuple[Slice, int]]:
    return zip(begun, ends, strict=False)


def _number(value: Value | None) -> int:
    return value if isinstance(value, int) else 0
