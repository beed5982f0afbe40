"""Scrub a Kineto file: the events that idlescope reads, and of each what is known."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from idlescope.trace.damage import Damage
from idlescope.trace.kineto.document import LOG_LEVELS, device_properties
from idlescope.trace.kineto.event_cleaner import NUMBER, EventCleaner
from idlescope.trace.kineto.events import KinetoEvents
from idlescope.trace.kineto.own_files import MARKER, written_by_idlescope
from idlescope.trace.kineto.repair import object_end, versions
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import OTHER_ENTRIES, cleaned, distributed, losses
from idlescope.trace.scrub.texts import Texts
from idlescope.trace.unseen import escaped

# What a file says of itself beside its events: numbers, and versions as text.
FACTS = frozenset(
    {
        "schemaVersion",
        "baseTimeNanoseconds",
        "with_stack",
        "with_flops",
        "with_modules",
        "record_shapes",
        "profile_memory",
        "cupti_version",
        "cuda_runtime_version",
        "cuda_driver_version",
        "hip_runtime_version",
        "hip_driver_version",
        "roctracer_version",
    }
)
GZIP_LEVEL = 4

# times to the last digit
_decode = msgspec.json.Decoder(list[dict[str, Any]], float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError)


def scrub(
    source: Path,
    target: Path,
    result: Scrubbed,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the file anew, gzipped where the target's name ends in .gz.

    Events that cannot be read are left out, not copied; the new file says that they are missing.
    Raises TraceError where the source cannot be read.
    """
    own = written_by_idlescope(source)
    texts, damage = Texts(result), Damage()
    events = KinetoEvents(source, damage)
    for _ in events:  # to the end, where most of what it says of itself stands
        pass
    header = json.dumps(_header(events.metadata, damage, texts, result, own))
    cleaner = EventCleaner(texts, result, own)
    with ExitStack() as stack:
        output = cast("IO[bytes]", stack.enter_context(target.open("wb")))
        if target.suffix == ".gz":
            packed = gzip.GzipFile("", "wb", GZIP_LEVEL, output, mtime=0)
            output = cast("IO[bytes]", stack.enter_context(packed))
        output.write(header[:-1].encode() + b',\n"traceEvents": [\n')
        separator, events_read = b"", 0
        for batch in KinetoEvents(source, Damage()):
            kept_events = map(cleaner.cleaned, _decoded(batch.text, result))
            cleaned_events = b",\n".join(
                _encoded(event) for event in kept_events if event is not None
            )
            if cleaned_events:
                output.write(separator + cleaned_events)
                separator = b",\n"
            events_read += len(batch.events)
            if progress is not None:
                progress(events_read)
        output.write(b"\n]}\n")
    result.names += len(cleaner.names)


def _decoded(text: bytes, result: Scrubbed) -> Iterator[dict[str, Any]]:
    """Yield all fields of the events of a text; the reader has decoded only some of them."""
    try:
        yield from _decode(b"[" + text + b"]")
        return
    except _UNDECODABLE:
        pass  # the reader, which wants less of an event, did not see this damage
    end = 0
    while (start := text.find(b"{", end)) >= 0:
        end = object_end(text, start, len(text))
        event = _decoded_object(text[start:end])
        if event is None:
            result.remove("events that cannot be read")
        else:
            yield event


def _encoded(event: dict[str, Any]) -> bytes:
    content = _encode(event)
    return content if content.isascii() else escaped(content.decode()).encode()


def _decoded_object(text: bytes) -> dict[str, Any] | None:
    for repaired_text, _ in versions(text):
        try:
            return _decode(b"[" + repaired_text + b"]")[0]
        except _UNDECODABLE:
            continue
    return None


def _header(
    document: Mapping[str, Any], damage: Damage, texts: Texts, result: Scrubbed, own: bool
) -> dict[str, Any]:
    """Return what the new file says of itself beside its events."""
    header: dict[str, Any] = {}
    for key, value in document.items():
        if key in FACTS:
            if _is_number(value) or (isinstance(value, str) and NUMBER.fullmatch(value)):
                header[key] = value
        elif key == "displayTimeUnit":
            if value in ("ms", "ns"):
                header[key] = value
        elif key == "distributedInfo" and isinstance(value, dict):
            header[key] = distributed(value)
        elif key == "deviceProperties":
            header[key] = [_device(entry, texts) for entry in device_properties(document)]
        elif key in LOG_LEVELS and isinstance(value, list):
            header[key] = losses(value)
    result.remove(OTHER_ENTRIES, len(document.keys() - header.keys() - {MARKER}))

    meta = cleaned(document.get(MARKER) or {}, texts, result) if own else {}
    if lost := damage.to_meta():
        meta = _merged(meta, lost)
    if own or meta:
        header[MARKER] = meta
    return header


def _merged(meta: dict[str, Any], lost: dict[str, Any]) -> dict[str, Any]:
    """Add what could not be read this time to what an earlier reading had lost."""
    merged = meta | lost
    merged["warnings"] = [*(meta.get("warnings") or ()), *lost.get("warnings", ())]
    lost_before = meta.get("lost") or {}
    lost_now = lost.get("lost", {})
    if lost_before or lost_now:
        merged["lost"] = lost_before | {
            kind: lost_before.get(kind, 0) + count for kind, count in lost_now.items()
        }
    return merged


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _device(properties: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    """Return the numbers, name and stand-in for the identity of one device."""
    kept_entries = {
        key: value
        for key, value in properties.items()
        if _is_number(value) and key.isidentifier()
    }
    for key in ("id", "name"):
        if isinstance(properties.get(key), str):
            kept_entries[key] = texts.text(properties[key])
    if properties.get("uuid"):
        kept_entries["uuid"] = texts.identity(str(properties["uuid"]))
    return kept_entries
