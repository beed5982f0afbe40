"""Stream the events of a Kineto (torch.profiler) JSON file in typed batches, without holding the file in memory.

The file is read in chunks. A chunk is cut where one object ends and the next begins, and a cut is accepted only if what
lies before it decodes as a whole list of events, so nested objects and text that looks like JSON cannot mislead it.
Decoding into structs with only the wanted fields is about ten times faster than into dictionaries.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from idlescope.errors import TraceError

CHUNK_BYTES = 1 << 18
CUTS_TRIED = 256  # objects nested in an event's args offer false cuts; more than this in a row is damage
EVENT_BYTES = 16 << 20  # what does not decode within this is damage, not an event
_EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
_CUT = re.compile(rb"\}\s*,\s*(?=\{)")
_ARRAY_END = re.compile(rb"(?:\}|\[)\s*(?=\])")


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


class Event(msgspec.Struct, gc=False):
    """One Chrome trace event, times in microseconds as they stand in the file."""

    ph: str = ""
    cat: str | None = None
    name: Any = None
    pid: Any = None
    tid: Any = None
    ts: int | float | str | None = 0
    dur: int | float | str | None = 0
    args: Args | None = None


class RawEvent(msgspec.Struct, gc=False):
    """The same event with its times undecoded, for times that a float64 cannot hold to the nanosecond."""

    ts: msgspec.Raw = msgspec.Raw(b"0")
    dur: msgspec.Raw = msgspec.Raw(b"0")


_decode = msgspec.json.Decoder(list[Event]).decode
_decode_raw = msgspec.json.Decoder(list[RawEvent]).decode


class Batch:
    """Events that stood together in the file; `raw()` decodes their times again as text."""

    def __init__(self, text: bytes, events: list[Event]) -> None:
        self._text = text
        self.events = events

    def raw(self) -> list[RawEvent]:
        """Return the same events, in order, with `ts` and `dur` as the text in the file."""
        return _decode_raw(self._text)


class KinetoFile:
    """One pass over a Kineto file: iterate for batches of events, then read `metadata`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}
        self._head = b""

    def __iter__(self) -> Iterator[Batch]:
        try:
            with open_maybe_gzip(self.path) as file:
                yield from self._batches(file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise TraceError(
                f"{self.path} ends or breaks inside its gzip data ({error}): copy the file again, or record it again"
            ) from error
        except OSError as error:
            raise TraceError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _batches(self, file: IO[bytes]) -> Iterator[Batch]:
        buffer = self._find_events(file)
        wanted = CHUNK_BYTES
        while True:
            if len(buffer) < wanted:
                more = file.read(wanted - len(buffer))
                buffer += more
                if not more:
                    break
            batch, rest = _split(buffer)
            if batch is None:  # one event larger than the buffer, or the array's end lies inside it
                if len(buffer) > EVENT_BYTES:
                    raise self._damaged(_decode_error(buffer))
                wanted = len(buffer) * 2
                continue
            yield batch
            buffer, wanted = rest, CHUNK_BYTES
        yield self._last(buffer)

    def _find_events(self, file: IO[bytes]) -> bytes:
        """Read up to the events; keep the head of the file, return what follows the opening bracket."""
        buffer = file.read(CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf")
        start = buffer.lstrip()[:1]
        if start == b"[":
            self._head = b'{"traceEvents":['
            return buffer.lstrip()[1:]
        if start != b"{":
            raise TraceError(f"{self.path} is not JSON: it starts with {buffer[:12]!r}; give a torch.profiler trace")
        while (found := _EVENTS_KEY.search(buffer)) is None:
            more = file.read(CHUNK_BYTES)
            if not more:
                self._no_events(buffer)
            buffer += more
        self._head = buffer[: found.end()]
        return buffer[found.end() :]

    def _no_events(self, text: bytes) -> None:
        try:
            json.loads(text)
        except ValueError as error:
            raise TraceError(f"{self.path} is not valid JSON ({error}): is it a torch.profiler trace?") from error
        raise TraceError(f'{self.path} is JSON but has no "traceEvents": it is not a torch.profiler (Kineto) trace')

    def _last(self, buffer: bytes) -> Batch:
        """Decode the events before the array's end, and the metadata around the array."""
        closing = b"}" if self._head != b'{"traceEvents":[' else b""
        ends = [m.end() for m in _ARRAY_END.finditer(buffer)]
        if (opening := buffer.lstrip()[:1]) == b"]":
            ends.insert(0, buffer.index(b"]"))
        error: Exception | None = None
        for end in ends[-CUTS_TRIED:]:
            batch = _try(buffer[:end])
            if batch is None:
                continue
            tail = buffer[end:] if closing else buffer[end:] + b"}"
            try:
                document = json.loads(self._head + tail, strict=False)
            except ValueError as e:
                error = e
                continue
            del document["traceEvents"]
            self.metadata = document
            return batch
        reason = _decode_error(buffer) if opening else "it ends before its events are closed"
        raise self._damaged(f"its list of events is never closed, {error or reason}")

    def _damaged(self, reason: str) -> TraceError:
        return TraceError(
            f"{self.path} is truncated or damaged: {reason}; record it again, or let the profiler finish writing "
            "before copying it"
        )


def open_maybe_gzip(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, through gzip where its first two bytes say so."""
    with path.open("rb") as file:
        magic = file.read(2)
    return cast("IO[bytes]", gzip.open(path, "rb")) if magic == b"\x1f\x8b" else path.open("rb")


def _try(text: bytes) -> Batch | None:
    text = b"[" + text + b"]"
    try:
        return Batch(text, _decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _split(buffer: bytes) -> tuple[Batch | None, bytes]:
    """Decode as many whole events as stand in the buffer; return them and the bytes after them."""
    cuts = [m.start() + 1 for m in _CUT.finditer(buffer, max(0, len(buffer) - (CHUNK_BYTES >> 3)))]
    if not cuts:
        cuts = [m.start() + 1 for m in _CUT.finditer(buffer)]
    tried = CUTS_TRIED if len(buffer) <= CHUNK_BYTES else CUTS_TRIED >> 4  # a grown buffer is dear to try
    for cut in reversed(cuts[-tried:]):
        batch = _try(buffer[:cut])
        if batch is not None:
            return batch, buffer[cut:].lstrip()[1:]
    return None, buffer


def _decode_error(buffer: bytes) -> str:
    try:
        _decode(b"[" + buffer + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)
    return "no closing bracket"
