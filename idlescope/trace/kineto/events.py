"""Stream the events of a Kineto (torch.profiler) JSON file in typed batches.

The file is never in memory as a whole. The text is cut where one object ends and the next begins,
and a cut is accepted only if what lies before it decodes as a whole list of events, so nested
objects and text that looks like JSON cannot mislead it. Decoding into structs with only the wanted
fields is about ten times faster than into dictionaries. A stretch that does not decode is repaired
(repair.py) or taken apart object by object (salvage.py); what cannot be read is left out and
counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from idlescope.errors import TraceError
from idlescope.trace.damage import Damage
from idlescope.trace.kineto.bytes import Source
from idlescope.trace.kineto.records import (
    Batch,
    Decode,
    Decoded,
    decode_list,
    decode_object,
)
from idlescope.trace.kineto.repair import (
    BEHIND_EVENT,
    CUT,
    LIST_END,
    STRAY_CLOSE,
    object_end,
    repairs,
    versions,
)
from idlescope.trace.kineto.text_damage import TextDamage, holds_events

CHUNK_BYTES = 1 << 19  # decoded at once: fits a core's cache
# Objects nested in an event's args offer false cuts, seldom more than a few in a row.
CUTS_TRIED = 64
HEAD_BYTES = 64 << 20  # what stands before the events, or behind them, is not larger
_BARE_HEAD = b'{"traceEvents":['
_EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
_KEY_BYTES = 64  # the key of the events is not longer, white space included
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SEPARATOR = re.compile(rb"\s*,?\s*")
_EVENT_FIRST = re.compile(rb"\s*\{")


class KinetoEvents:
    """One pass over the events of a file, or of a part of it.

    Iterate for batches, then read `metadata`: the JSON object around the events. A part begins at
    byte `start`, that of an event, and ends before byte `end`; only a part to the end of the file
    sees the metadata that stands after the events. What was repaired or lost is counted in
    `damage`. `decode` makes events of text. Iterating raises TraceError where the file cannot be
    read, or is no Kineto trace.
    """

    def __init__(
        self,
        path: Path,
        damage: Damage,
        start: int = 0,
        end: int | None = None,
        decode: Decode = decode_list,
    ) -> None:
        self.path = path
        self._decode = decode
        self.metadata: dict[str, Any] = {}
        self._damage = TextDamage(path, damage)
        self._source = Source(path, start, end)
        self._pieces = iter(self._source)
        self._offset = start  # of the buffer's first byte in the text
        self._buffer = b""
        self._head = _BARE_HEAD if start else b""
        self._is_list = False  # the file is a bare list of events
        self._to_end = end is None  # of the file
        self._closed = (
            not self._to_end
        )  # the list of events has ended, or does in another part
        self._astray = False  # the buffer begins within what cannot be read
        # whether the comma behind the last event was read; None before the first
        self._comma_read: bool | None = None

    def __iter__(self) -> Iterator[Batch]:
        if not self._head:
            self.find_events()
        wanted_bytes = CHUNK_BYTES
        while self._fill(wanted_bytes):
            batch, wrong_at = self._next_batch()
            batch = batch or self._salvage(wrong_at)
            if batch is not None:
                yield batch
            wanted_bytes = 2 * len(self._buffer) if batch is None else CHUNK_BYTES
            if self._closed and self._to_end:
                break
        else:
            batch = self._last_batch() or self._salvage(None, final=True)
            if batch is not None:
                yield batch
        self._finish()

    def find_events(self) -> bytes:
        """Read up to the bracket that opens the list of events; return what stands before it."""
        wanted_bytes, searched = CHUNK_BYTES, 0
        while True:
            more = self._fill(wanted_bytes)
            if not searched:
                self._buffer = self._buffer.removeprefix(_BYTE_ORDER_MARK)
                if self._starts_as_list():
                    self._is_list, self._head = True, _BARE_HEAD
                    self._advance(self._buffer.index(b"[") + 1)
                    return self._head
            if key := _EVENTS_KEY.search(self._buffer, max(0, searched - _KEY_BYTES)):
                self._head = self._buffer[: key.end()]
                self._advance(key.end())
                return self._head
            if not more or len(self._buffer) > HEAD_BYTES:
                raise self._no_events()
            searched, wanted_bytes = len(self._buffer), 2 * len(self._buffer)

    def _starts_as_list(self) -> bool:
        start = self._buffer.lstrip()[:1]
        if start not in (b"[", b"{"):
            raise TraceError(
                f"{self.path} is not JSON: it starts with {self._buffer[:12]!r}; give a "
                "torch.profiler trace, an Nsight Systems export or a recording"
            )
        return start == b"["

    def _no_events(self) -> TraceError:
        """Return the error of a file that holds no list of events."""
        if self._source.damage:
            return self._damage.unreadable(
                f"no events were found before {self._source.damage}"
            )
        try:
            document = json.loads(self._buffer)
        except (ValueError, RecursionError) as error:
            return TraceError(
                f"{self.path} is not valid JSON ({error}): is it a torch.profiler trace?"
            )
        missing = 'no "traceEvents"'
        if "traceEvents" in document:
            missing = 'no list of events in "traceEvents"'
        return TraceError(
            f"{self.path} is JSON but has {missing}: it is not a torch.profiler (Kineto) trace"
        )

    def _fill(self, wanted_bytes: int) -> bool:
        """Read until the buffer holds as many bytes as wanted; return whether it does."""
        pieces, length = [self._buffer], len(self._buffer)
        while length < wanted_bytes and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            length += len(piece)
        self._buffer = b"".join(pieces)
        return length >= wanted_bytes

    def _advance(self, used: int) -> None:
        self._offset += used
        self._buffer = self._buffer[used:]

    def _next_batch(self) -> tuple[Batch | None, int | None]:
        """Take the whole events of the buffer.

        The batch is None where the buffer holds no whole event; where the list ends in it, or
        damage lies in it, the byte of that is returned, too.
        """
        text = self._buffer
        for cut_byte in self._cuts():
            whole_events = text[:cut_byte]
            decoded = self._decode(whole_events)
            if decoded.events is not None:
                return self._batch(whole_events, decoded, cut_byte), None
            if decoded.wrong_at < cut_byte - 1:  # not for want of what follows
                break
        else:
            return None, None
        for repaired_text, repairs_done in repairs(whole_events):
            repaired = self._decode(repaired_text)
            if repaired.events is not None:
                self._damage.repaired(repairs_done, self._offset)
                return self._batch(repaired_text, repaired, cut_byte), None
        return None, decoded.wrong_at

    def _last_batch(self) -> Batch | None:
        """Take the rest of the events; None where their end is not plain, or damage lies in it."""
        text = self._buffer
        ends = [len(text)] if self._closed else self._list_ends()
        if self._comma_read is False or not _EVENT_FIRST.match(text):
            return None
        for end in ends:
            whole_events = text[:end].rstrip(BEHIND_EVENT)
            decoded = self._decode(whole_events)
            if decoded.events is not None:
                if STRAY_CLOSE.match(text, end):
                    return None
                used = end if self._closed else end + 1
                self._closed = True
                return self._batch(whole_events, decoded, used)
        return None

    def _list_ends(self) -> list[int]:
        """Return the first brackets that may close the list of events."""
        found = islice(LIST_END.finditer(self._buffer), CUTS_TRIED)
        return [match.end() - 1 for match in found]

    def _cuts(self) -> list[int]:
        """Return where the buffer may be cut between two events, the likeliest first."""
        text = self._buffer
        near_end = max(0, len(text) - CHUNK_BYTES // 32)
        cuts = [match.start() + 1 for match in CUT.finditer(text, near_end)]
        cuts = cuts or [match.start() + 1 for match in CUT.finditer(text)]
        return cuts[-CUTS_TRIED:][::-1]

    def _batch(
        self,
        text: bytes,
        decoded: Decoded,
        used: int,
        starts: Sequence[int] | None = None,
    ) -> Batch:
        events = decoded.events or []
        batch = Batch(text, events, self._offset, starts, decoded.typed)
        self._advance(used)
        if not (
            self._closed and self._to_end
        ):  # what follows is another event, not metadata
            separator = _SEPARATOR.match(self._buffer)
            self._comma_read = (
                separator is not None and b"," in separator[0] if events else None
            )
            self._advance(separator.end() if separator else 0)
        return batch

    def _salvage(self, wrong_at: int | None, final: bool = False) -> Batch | None:
        """Take the buffer apart object by object; None where that uses up nothing of it."""
        from idlescope.trace.kineto.salvage import Salvage

        salvage = Salvage(
            self._buffer,
            self._offset,
            self._damage,
            final,
            wrong_at,
            self._astray,
            self._comma_read,
        )
        salvage.run()
        self._closed |= salvage.closed
        self._astray = salvage.astray
        if not salvage.used:
            return None
        decoded = Decoded(salvage.events, 0)
        return self._batch(b",".join(salvage.texts), decoded, salvage.used, salvage.starts)

    def _finish(self) -> None:
        """Say how the list of events ended, and read the metadata around it."""
        if self._to_end and self._fill(HEAD_BYTES):
            self._damage.noted(
                f"what follows {HEAD_BYTES >> 20} MB behind the events was not read",
                self._offset,
            )
        if self._source.damage:
            self._damage.cut(f"the file is incomplete, {self._source.damage}", self._offset)
        elif not self._closed:
            self._damage.cut(
                "the file ends before its list of events is closed", self._offset
            )
        self.metadata = self._document_around() or self._document_before() or {}
        self.metadata.pop("traceEvents", None)

    def _document_around(self) -> dict[str, Any] | None:
        """Return the JSON object around the events, repaired as far as needed."""
        text_behind = self._buffer if self._to_end else b""
        bare = self._is_list or not self._closed or not self._to_end
        text_around = self._head + b"]" + text_behind + (b"}" if bare else b"")
        for text, repairs_done in versions(text_around):
            document = _decode_document(text)
            if document is None:
                continue
            for what, count, first in repairs_done:
                behind_head = first - len(self._head) - 1
                offset = first if behind_head < 0 else self._offset + behind_head
                self._damage.repaired([(what, count, 0)], offset)
            return document
        if holds_events(text_behind):
            self._damage.cut(
                "more events stand behind the end of the list and were not read",
                self._offset,
            )
        elif text_behind.strip():
            self._damage.noted(
                "metadata behind the events cannot be read and was left out", self._offset
            )
        return None

    def _document_before(self) -> dict[str, Any] | None:
        """Return the JSON object that stands before the events."""
        document = _decode_document(self._head + b"]}")
        if document is None:
            self._damage.noted(
                "metadata before the events cannot be read and was left out", 0
            )
        return document


def event_boundary(text: bytes, offset: int) -> int | None:
    """Return the byte of the file at which an event starts; None where none is sure.

    `text` is a piece of the file from byte `offset` on. Objects nested in an event look like
    events, but have no `ph`.
    """
    for separator in CUT.finditer(text):
        end = object_end(text, separator.end(), len(text))
        if end < 0:
            return None
        found = decode_object(text[separator.end() : end])
        if found is not None and found.event.ph and not found.repairs:
            return offset + separator.end()
    return None


def _decode_document(text: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
