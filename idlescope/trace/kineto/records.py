"""Single Kineto events: the fields that are wanted of each, and how text becomes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from idlescope.trace.kineto.repair import Done, object_end, versions

_SPACE_AND_COMMAS = re.compile(rb"[\s,]*")
_BYTE_OF_ERROR = re.compile(r"\(byte (\d+)\)")
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Args(msgspec.Struct, gc=False):
    """The wanted part of an event's `args`; tools write ids as numbers or as text."""

    correlation: Any = None
    device: Any = None
    stream: Any = None
    bytes: Any = None
    flops: Any = None
    step: Any = None
    name: Any = None
    value: Any = None
    process: Any = None  # written by idlescope: the pid that launched an operation
    track: Any = (
        None  # written by idlescope: the tid of a slice that overlaps others of its thread
    )
    # of a collective that was launched outside a graph: its process group
    group: Any = msgspec.field(default=None, name="Process Group Name")
    group_ranks: Any = msgspec.field(default=None, name="Process Group Ranks")


class Event(msgspec.Struct, gc=False):
    """One Chrome trace event, times in microseconds as they stand in the file."""

    ph: str = ""
    cat: str | None = None
    name: Any = None
    pid: Any = None
    tid: Any = None
    ts: int | float | str | None = None
    dur: int | float | str | None = 0
    args: Args | None = None
    id: Any = None  # of a flow


class RawEvent(msgspec.Struct, gc=False):
    """The same event with its times undecoded: a float64 may not hold them to the nanosecond."""

    ts: msgspec.Raw = msgspec.Raw(b"null")
    dur: msgspec.Raw = msgspec.Raw(b"0")


class Decoded(NamedTuple):
    """Events of a text, or None and the byte at which it is wrong (0: not known)."""

    events: list[Event] | None
    wrong_at: int
    typed: bool = False  # the events are of typed_events.py


Decode = Callable[[bytes], Decoded]  # of a text that has no brackets around it


class RepairedEvent(NamedTuple):
    """One event, the text that it was decoded from, and what was repaired in that."""

    event: Event
    text: bytes
    repairs: Done


_decode_events = msgspec.json.Decoder(list[Event]).decode
_decode_raw = msgspec.json.Decoder(list[RawEvent]).decode
_decode_any = msgspec.json.Decoder().decode


class Batch:
    """Events that stood together in the file, from byte `offset` on.

    The offset is one of the text, where the file is packed. `text` is what was decoded, without the
    brackets of a list.
    """

    def __init__(
        self,
        text: bytes,
        events: list[Event],
        offset: int,
        starts: Sequence[int] | None = None,
        typed: bool = False,
    ) -> None:
        self.text = text
        self.events = events
        self.offset = offset
        self.typed = typed  # the events are of typed_events.py
        # of each event in the file, where the text was put together from pieces of it
        self._starts = starts

    def raw(self) -> list[RawEvent]:
        """Return the same events, in order, with `ts` and `dur` as the text in the file."""
        return _decode_raw(b"[" + self.text + b"]")

    def place(self, row: int) -> str:
        """Return where in the file an event stands; near it, where text before was repaired."""
        if self._starts is not None:
            return f"byte {self._starts[row]:,}"
        start = past_separators(self.text, 0)
        for _ in range(row):
            end = object_end(self.text, start, len(self.text))
            start = past_separators(self.text, end)
        return f"byte {self.offset + start:,}"


def past_separators(text: bytes, start: int) -> int:
    """Return where the next thing stands, past white space and commas."""
    match = _SPACE_AND_COMMAS.match(text, start)
    return match.end() if match else start


def decode_list(text: bytes) -> Decoded:
    """Return the events of a text that has no brackets around it."""
    try:
        return Decoded(_decode_events(in_brackets(text)), 0)
    except UNDECODABLE as error:
        return undecodable(text, error)


def in_brackets(text: bytes) -> bytes:
    """Return a text as a list."""
    return b"".join((b"[", text, b"]"))


def undecodable(text: bytes, error: Exception) -> Decoded:
    """Return where a text is wrong, by the error that decoding it `in_brackets` ended in."""
    message = str(error)
    if message == "Input data was truncated":
        return Decoded(None, len(text))
    found = _BYTE_OF_ERROR.search(message)
    # the bracket that was put before the text counts as a byte
    return Decoded(None, int(found[1]) - 1 if found else 0)


def decode_object(text: bytes) -> RepairedEvent | None:
    """Return the event in the text of one object, repaired as far as needed; None if it is none."""
    for repaired_text, repairs_done in versions(text):
        events = decode_list(repaired_text).events
        event = events[0] if events else _coerced(repaired_text)
        if event is not None:
            return RepairedEvent(event, repaired_text, repairs_done)
    return None


def _coerced(text: bytes) -> Event | None:
    """Return an event some of whose values are not of the type they should be."""
    try:
        fields = _decode_any(text)
    except UNDECODABLE:
        return None
    event = Event(
        ph=str(fields.get("ph", "")),
        cat=str(fields.get("cat", "")),
        name=fields.get("name"),
        pid=fields.get("pid"),
        tid=fields.get("tid"),
        ts=_as_time(fields.get("ts")),
        dur=_as_time(fields.get("dur", 0)),
    )
    arguments = fields.get("args")
    if isinstance(arguments, dict):
        known = {key: arguments[key] for key in Args.__struct_fields__ if key in arguments}
        event.args = Args(**known)
    return event


def _as_time(value: Any) -> int | float | str | None:
    return value if isinstance(value, (int, float, str)) else None
