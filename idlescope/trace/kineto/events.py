"""Stream the events of a Kineto (torch.profiler) JSON file in typed batches, without holding the file in memory.

The text is cut where one object ends and the next begins, and a cut is accepted only if what lies before it decodes as
a whole list of events, so nested objects and text that looks like JSON cannot mislead it. Decoding into structs with
only the wanted fields is about ten times faster than into dictionaries. A stretch that does not decode is repaired
(kineto_repair.py) or taken apart object by object; what cannot be read is left out and counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from idlescope.errors import TraceError
from idlescope.trace.damage import KINDS, Damage
from idlescope.trace.kineto import categories
from idlescope.trace.kineto.bytes import Source
from idlescope.trace.kineto.repair import CUT, Done, closes_list, object_end, repairs

CHUNK_BYTES = 1 << 18  # decoded at once: fits a core's cache
CUTS_TRIED = (
    64  # objects nested in an event's args offer false cuts, seldom more than a few in a row
)
EVENT_BYTES = 1 << 20  # no event is longer than this
HEAD_BYTES = 64 << 20  # what stands before the events, or behind them, is not larger
RESUME_BYTES = 1 << 14  # nor longer than this, near damage
LOST_BYTES = (
    8 << 20
)  # once this much, and more than half of what was read, is lost: not worth reading on
_EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
_CATEGORY = re.compile(rb'"cat"\s*:\s*"([^"]{1,60})"')
_PHASE = re.compile(rb'"ph"\s*:')
# args may begin so, too, but have no ph
_EVENT_START = re.compile(rb'\{\s*"(?:ph|cat|name|pid|tid|ts|dur|id|bp|s)"\s*:')
_STRAY_CLOSE = re.compile(rb"\]\s*,?\s*(?=\{)")
_SPACE = re.compile(rb"[\s,]*")
_SEPARATOR = re.compile(rb"\s*,?\s*")
_OPEN, _CLOSE = b"{]"
_AT_BYTE = re.compile(r"\(byte (\d+)\)")


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
    track: Any = None  # written by idlescope: the tid of a slice that overlaps others of its thread


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
    """The same event with its times undecoded, for times that a float64 cannot hold to the nanosecond."""

    ts: msgspec.Raw = msgspec.Raw(b"null")
    dur: msgspec.Raw = msgspec.Raw(b"0")


_decode = msgspec.json.Decoder(list[Event]).decode
_decode_raw = msgspec.json.Decoder(list[RawEvent]).decode
_decode_any = msgspec.json.Decoder().decode
_Undecodable = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Batch:
    """Events that stood together in the file, from byte `offset` on (of the text, where the file is packed).

    `text` is what was decoded, without the brackets of a list.
    """

    def __init__(
        self, text: bytes, events: list[Event], offset: int, starts: list[int] | None = None
    ) -> None:
        self.text = text
        self.events = events
        self.offset = offset
        self._starts = (
            starts  # of each event in the file, where the text was put together from pieces of it
        )

    def raw(self) -> list[RawEvent]:
        """Return the same events, in order, with `ts` and `dur` as the text in the file."""
        return _decode_raw(b"[" + self.text + b"]")

    def place(self, row: int) -> str:
        """Return where in the file an event of the batch stands; near it, where text before it was repaired."""
        if self._starts is not None:
            return f"byte {self._starts[row]:,}"
        at = _between(self.text, 0)
        for _ in range(row):
            at = _between(self.text, object_end(self.text, at, len(self.text)))
        return f"byte {self.offset + at:,}"


class KinetoEvents:
    """One pass over the events of a file, or of a part of it: iterate for batches, then read `metadata`.

    A part begins at byte `start`, that of an event, and ends before byte `end`; only a part to the end of the file
    sees the metadata that stands after the events. What was repaired or lost is counted in `damage`.
    """

    def __init__(self, path: Path, damage: Damage, start: int = 0, end: int | None = None) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}
        self._damage = damage
        self._source = Source(path, start, end)
        self._pieces = iter(self._source)
        self._offset = start  # of the buffer's first byte in the text
        self._buffer = b""
        self._head = b'{"traceEvents":[' if start else b""
        self._list = False  # the file is a bare list of events
        self._whole = end is None  # to the end of the file
        self._closed = not self._whole  # the list of events has ended, or does in another part
        self._lost = 0  # bytes
        self._astray = False  # the buffer begins within what cannot be read
        self._comma: bool | None = (
            None  # whether the comma behind the last event was read; None before the first
        )

    def __iter__(self) -> Iterator[Batch]:
        if not self._head:
            self._find_events()
        wanted = CHUNK_BYTES
        while self._fill(wanted):
            batch, wrong_at = self._next()
            batch = batch or self._salvage(wrong_at)
            wanted = CHUNK_BYTES if batch is not None else 2 * len(self._buffer)
            if batch is not None:
                yield batch
            if self._closed and self._whole:
                break
        else:
            if (batch := self._salvage(None, final=True)) is not None:
                yield batch
        self._finish()

    def _fill(self, wanted: int) -> bool:
        """Read until the buffer holds as many bytes as wanted; return whether it does."""
        pieces, length = [self._buffer], len(self._buffer)
        while length < wanted and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            length += len(piece)
        self._buffer = b"".join(pieces)
        return length >= wanted

    def _find_events(self) -> None:
        """Keep the head of the file, and leave in the buffer what follows the bracket that opens the events."""
        wanted, searched = CHUNK_BYTES, 0
        while True:
            more = self._fill(wanted)
            if not searched:
                self._buffer = self._buffer.removeprefix(b"\xef\xbb\xbf")
                start = self._buffer.lstrip()[:1]
                if start == b"[":
                    self._list, self._head = True, b'{"traceEvents":['
                    self._advance(self._buffer.index(b"[") + 1)
                    return
                if start != b"{":
                    raise TraceError(
                        f"{self.path} is not JSON: it starts with {self._buffer[:12]!r}; give a torch.profiler trace, "
                        "an Nsight Systems export or a recording"
                    )
            if found := _EVENTS_KEY.search(self._buffer, max(0, searched - 64)):
                self._head = self._buffer[: found.end()]
                self._advance(found.end())
                return
            if not more or len(self._buffer) > HEAD_BYTES:
                self._no_events()
            searched, wanted = len(self._buffer), 2 * len(self._buffer)

    def _no_events(self) -> None:
        if self._source.damage:
            raise self._unreadable(f"no events were found before {self._source.damage}")
        try:
            document = json.loads(self._buffer)
        except (ValueError, RecursionError) as error:
            raise TraceError(
                f"{self.path} is not valid JSON ({error}): is it a torch.profiler trace?"
            ) from error
        what = (
            'no list of events in "traceEvents"'
            if "traceEvents" in document
            else 'no "traceEvents"'
        )
        raise TraceError(
            f"{self.path} is JSON but has {what}: it is not a torch.profiler (Kineto) trace"
        )

    def _advance(self, used: int) -> None:
        self._offset += used
        self._buffer = self._buffer[used:]

    def _next(self) -> tuple[Batch | None, int | None]:
        """Take the whole events of the buffer.

        None where it holds no whole one; where the list ends in it, or damage lies in it, also the byte of that.
        """
        text = self._buffer
        cuts = [m.start() + 1 for m in CUT.finditer(text, max(0, len(text) - CHUNK_BYTES // 32))]
        cuts = cuts or [m.start() + 1 for m in CUT.finditer(text)]
        for cut in reversed(cuts[-CUTS_TRIED:]):
            upto = text[:cut]
            events, at = _try(upto)
            if events is not None:
                return self._batch(upto, events, cut), None
            if at < cut - 1:  # not for want of what follows
                break
        else:
            return None, None
        for fixed, done in repairs(upto):
            events, _ = _try(fixed)
            if events is not None:
                self._note(done)
                return self._batch(fixed, events, cut), None
        return None, at

    def _batch(
        self, text: bytes, events: list[Event], used: int, starts: list[int] | None = None
    ) -> Batch:
        batch = Batch(text, events, self._offset, starts)
        self._advance(used)
        if not (self._closed and self._whole):  # what follows is another event, not metadata
            separator = _SEPARATOR.match(self._buffer)
            self._comma = separator is not None and b"," in separator[0] if events else None
            self._advance(separator.end() if separator else 0)
        return batch

    def _note(self, done: Done, at: int = 0) -> None:
        for what, count, first in done:
            self._damage.repaired(what, f"byte {self._offset + at + first:,}", count)

    def _salvage(self, wrong_at: int | None, final: bool = False) -> Batch | None:
        """Take the buffer apart object by object; leave out what no repair makes an event of.

        `wrong_at` is the byte that does not decode, where that is known. Stops where the list of events is closed.
        Unless `final`, an object that is still open stays in the buffer; None where there is nothing else.
        """
        text, at, used, closed = self._buffer, 0, 0, False
        lost_from = 0 if self._astray else -1
        self._astray = False
        good: list[bytes] = []
        starts: list[int] = []
        events: list[Event] = []
        while True:
            at, before = _between(text, at), at
            if at == len(text):
                break
            if lost_from < 0:
                self._count_commas(text, before, at)
                if text[at] == _CLOSE:
                    if (stray := _STRAY_CLOSE.match(text, at)) is not None:
                        self._note([("brackets that close nothing were left out", 1, at)])
                        at = stray.end()
                        continue
                    self._closed, closed, used = True, True, at + 1
                    break
            # a quote too many hides the ends of objects: near damage none is looked for far off
            limit = at + EVENT_BYTES if wrong_at is None else max(at, wrong_at) + RESUME_BYTES
            end = object_end(text, at, min(limit, len(text))) if text[at] == _OPEN else 0
            if end < 0 and lost_from < 0 and not final and limit > len(text):
                break  # its end is not read yet
            event, fixed, done = _one(text[at:end]) if end > 0 else (None, b"", [])
            if event is not None and (event.ph or lost_from < 0):
                if lost_from >= 0:
                    self._lose(text, lost_from, at)
                    lost_from = -1
                self._note(done, at)
                events.append(event)
                good.append(fixed)
                starts.append(self._offset + at)
                at = used = end
                continue
            lost_from = at if lost_from < 0 else lost_from
            wrong_at = at if wrong_at is None else wrong_at
            following = _EVENT_START.search(text, at + 1)
            if following is None:
                break
            at = following.start()
        if final and not closed:
            if lost_from >= 0:
                self._closed |= closes_list(text[lost_from:])
                self._lose(text, lost_from, len(text))
            used = len(text)
        elif not used and lost_from >= 0 and len(text) > 2 * RESUME_BYTES:
            used, self._astray = (
                len(text) - RESUME_BYTES,
                True,
            )  # an event may begin in what is kept
            self._lose(text, lost_from, used)
        return self._batch(b",".join(good), events, used, starts) if used else None

    def _count_commas(self, text: bytes, start: int, end: int) -> None:
        """Count commas too many, or the one that is missing, before an event or the end of the list."""
        closes = text[end] == _CLOSE
        found = text.count(b",", start, end) + int(closes and not start and self._comma is True)
        due = int(not closes and (start > 0 or self._comma is False))
        if found > due:
            self._note([("commas too many were left out", found - due, start)])
        elif found < due:
            self._note([("commas that are missing were taken as there", 1, start)])

    def _lose(self, text: bytes, start: int, end: int) -> None:
        """Count what stands between two places and could not be read, by what it says that it was."""
        lost = text[start:end]
        self._lost += len(lost)
        if self._lost > LOST_BYTES and self._lost > self._offset // 2:
            raise self._unreadable(
                f"{self._lost >> 20} MB of its first {self._offset >> 20} MB cannot be read"
            )
        kinds = [categories.kind(c.decode("utf-8", "replace")) for c in _CATEGORY.findall(lost)]
        if not kinds or len(kinds) != len(_PHASE.findall(lost)) or not _legible(lost):
            kinds.append("unknown")  # what else stood there cannot be told
        for kind in KINDS:
            what = "records" if kind == "unknown" else kind
            place = f"byte {self._offset + start:,}"
            self._damage.dropped(
                f"{what} that cannot be read were left out", place, kind, kinds.count(kind)
            )

    def _unreadable(self, reason: str) -> TraceError:
        return TraceError(
            f"{self.path} is damaged: {reason}; record it again, or copy it again from where it was made"
        )

    def _finish(self) -> None:
        """Say how the list of events ended, and read the metadata around it."""
        place = f"byte {self._offset:,}"
        if self._whole and self._fill(HEAD_BYTES):
            self._damage.repaired(
                f"what follows {HEAD_BYTES >> 20} MB behind the events was not read", place
            )
        tail = self._buffer if self._whole else b""
        if self._source.damage:
            self._damage.cut(f"the file is incomplete, {self._source.damage}", place)
        elif not self._closed:
            self._damage.cut("the file ends before its list of events is closed", place)
        bare = self._list or not self._closed or not self._whole
        around = self._head + b"]" + tail + (b"}" if bare else b"")
        for text, done in ((around, []), *repairs(around)):
            try:
                document = json.loads(text, strict=False)
            except (ValueError, RecursionError):
                continue
            for what, count, first in done:
                behind = first - len(self._head) - 1
                at = first if behind < 0 else self._offset + behind
                self._damage.repaired(what, f"byte {at:,}", count)
            break
        else:
            if _PHASE.search(tail):
                self._damage.cut(
                    "more events stand behind the end of the list and were not read", place
                )
            elif tail.strip():
                self._damage.repaired(
                    "metadata behind the events cannot be read and was left out", place
                )
            try:
                document = json.loads(self._head + b"]}", strict=False)
            except (ValueError, RecursionError):
                self._damage.repaired(
                    "metadata before the events cannot be read and was left out", "byte 0"
                )
                return
        document.pop("traceEvents", None)
        self.metadata = document


def _legible(text: bytes) -> bool:
    """Return whether a text is one, and not what a disk or a copy has left of one."""
    try:
        return not any(c < " " and c not in "\t\r\n" for c in text.decode())
    except UnicodeDecodeError:
        return False


def event_boundary(text: bytes, offset: int) -> int | None:
    """Return the byte of the file at which an event starts, given text of it from a byte on; None where none is sure.

    Objects nested in an event look like events, but have no `ph`.
    """
    for cut in CUT.finditer(text):
        end = object_end(text, cut.end(), len(text))
        if end < 0:
            return None
        event, _, done = _one(text[cut.end() : end])
        if event is not None and event.ph and not done:
            return offset + cut.end()
    return None


def _between(text: bytes, at: int) -> int:
    """Return where the next thing stands, past white space and commas."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _try(text: bytes) -> tuple[list[Event] | None, int]:
    """Return the events of a text without its brackets, or None and the byte at which it is wrong (0: not known)."""
    try:
        return _decode(b"".join((b"[", text, b"]"))), 0
    except _Undecodable as error:
        if str(error) == "Input data was truncated":
            return None, len(text)
        found = _AT_BYTE.search(str(error))
        return None, int(found[1]) - 1 if found else 0


def _one(text: bytes) -> tuple[Event | None, bytes, Done]:
    """Return the event in the text of one object, repaired as far as needed; None where it is none."""
    for fixed, done in ((text, []), *repairs(text)):
        events, _ = _try(fixed)
        if events is None:
            events = _coerced(fixed)
        if events is not None:
            return events[0], fixed, done
    return None, text, []


def _coerced(text: bytes) -> list[Event] | None:
    """Return an event some of whose values are not of the type they should be."""
    try:
        fields = _decode_any(text)
    except _Undecodable:
        return None
    event = Event(**{k: fields[k] for k in ("name", "pid", "tid", "ts", "dur") if k in fields})
    event.ph, event.cat = str(fields.get("ph", "")), str(fields.get("cat", ""))
    if isinstance(args := fields.get("args"), dict):
        event.args = Args(**{k: v for k, v in args.items() if k in Args.__struct_fields__})
    return [event]
