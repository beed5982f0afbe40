"""Scrub a Kineto file: the events that idlescope reads, and of each the fields and arguments that are known."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from idlescope.trace.damage import Damage
from idlescope.trace.kineto import categories
from idlescope.trace.kineto.bytes import Source
from idlescope.trace.kineto.events import KinetoEvents
from idlescope.trace.kineto.reader import LOG_LEVELS
from idlescope.trace.kineto.repair import object_end, repairs
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.meta import OTHER_ENTRIES, cleaned, distributed, losses
from idlescope.trace.scrub.texts import Texts

PHASES = frozenset("XMCistf")
# Categories that the reader does not know but viewers show (libkineto, ActivityType.h), and those of flows.
SHOWN = frozenset({
    "gpu_user_annotation", "cpu_instant_event", "cuda_sync", "Trace", "ac2g", "fwdbwd", "async_cpu_to_gpu", "async_gpu",
})  # fmt: skip
KEPT_CATEGORIES = SHOWN | categories.OPERATIONS.keys() | categories.CALLS | categories.RANGES.keys()
METADATA_EVENTS = frozenset(
    {"thread_name", "thread_sort_index", "process_sort_index", "process_labels"}
)
PROCESS_LABEL = re.compile(r"CPU|GPU \d+")
# Arguments of events. What stands in the others, such as "Concrete Inputs", is anything that a program computed with.
NUMBERS = frozenset({
    "correlation", "device", "stream", "context", "External id", "cbid", "cid", "queued", "registers per thread",
    "shared memory", "blocks per SM", "warps per SM", "grid", "block", "est. achieved occupancy %", "bytes",
    "memory bandwidth (GB/s)", "Ev Idx", "Record function id", "Fwd thread id", "Sequence number", "Input Dims",
    "Input Strides", "Python id", "Python parent id", "Python module id", "Op count", "sort_index", "value",
    "Device Id", "Device Type", "Bytes", "Total Allocated", "Total Reserved", "num_warps", "num_stages", "Rank",
    "Group size", "In msg nelems", "Out msg nelems", "wait_on_stream", "wait_on_cuda_event_id",
    "wait_on_cuda_event_record_corr_id", "finished",
})  # fmt: skip
TEXTS = frozenset({"Input type", "Call stack", "Module Hierarchy", "kernel", "kind", "dtype", "Collective name",
                   "kernel_backend"})  # fmt: skip
OUR_NUMBERS = frozenset({"step", "flops"})  # of files that idlescope wrote
PIDS, TIDS = frozenset({"process"}), frozenset({"track"})
# What a file says of itself beside its events: numbers, and versions as text.
FACTS = frozenset({
    "schemaVersion", "baseTimeNanoseconds", "with_stack", "with_flops", "with_modules", "record_shapes",
    "profile_memory", "cupti_version", "cuda_runtime_version", "cuda_driver_version", "hip_runtime_version",
    "hip_driver_version", "roctracer_version",
})  # fmt: skip
NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)")
TIME = re.compile(r"\s*[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?\s*")
TRACKS = re.compile(r"(?:stream )?-?\d+|Spans|Traces|(?:Trace )?PyTorch Profiler|")
DEEPEST = 4  # lists of lists of sizes, and no deeper

_decode = msgspec.json.Decoder(
    list[dict[str, Any]], float_hook=Decimal
).decode  # times to the last digit
_encode = msgspec.json.Encoder(decimal_format="number").encode


def scrub(
    source: Path, target: Path, result: Scrubbed, progress: Callable[[int], None] | None = None
) -> None:
    """Write the file anew, gzipped where the target's name ends in .gz.

    Events that cannot be read are left out, not copied; the new file says that they are missing.
    """
    own = b'"idlescope"' in next(iter(Source(source)), b"")  # as the reader tells
    texts, damage = Texts(result), Damage()
    events = KinetoEvents(source, damage)
    for _ in events:  # to the end, where most of what it says of itself stands
        pass
    cleaner = _Cleaner(texts, result, own)
    with ExitStack() as stack:
        out = cast("IO[bytes]", stack.enter_context(target.open("wb")))
        if target.suffix == ".gz":
            out = cast("IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", 4, out, mtime=0)))
        header = json.dumps(_header(events.metadata, damage, texts, result, own))
        out.write(header[:-1].encode() + b',\n"traceEvents": [\n')
        separator, read = b"", 0
        for batch in KinetoEvents(source, Damage()):
            part = b",\n".join(cleaner.events(batch.text))
            if part:
                out.write(separator + part)
                separator = b",\n"
            read += len(batch.events)
            if progress is not None:
                progress(read)
        out.write(b"\n]}\n")
    result.names += len(cleaner.names)


def _header(
    metadata: dict[str, Any], damage: Damage, texts: Texts, result: Scrubbed, own: bool
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in metadata.items():
        is_number = _is_number(value) or (isinstance(value, str) and NUMBER.fullmatch(value))
        if (key in FACTS and is_number) or (key == "displayTimeUnit" and value in ("ms", "ns")):
            kept[key] = value
        elif key == "distributedInfo" and isinstance(value, dict):
            kept[key] = distributed(value)
        elif key == "deviceProperties":
            kept[key] = _devices(value, texts)
        elif key in LOG_LEVELS and isinstance(value, list):
            kept[key] = losses(value)
    about = metadata.get("idlescope")
    meta = cleaned(about, texts, result) if own and isinstance(about, dict) else {}
    if lost := damage.to_meta():
        meta = _merged(meta, lost)
    if own or meta:
        kept["idlescope"] = meta
    result.remove(OTHER_ENTRIES, len(metadata.keys() - kept.keys() - {"idlescope"}))
    return kept


def _merged(meta: dict[str, Any], lost: dict[str, Any]) -> dict[str, Any]:
    """Add what could not be read this time to what an earlier reading had lost."""
    before = meta.get("lost") or {}
    counts = {kind: before.get(kind, 0) + n for kind, n in lost.get("lost", {}).items()}
    merged = {
        **meta,
        **lost,
        "warnings": [*(meta.get("warnings") or ()), *lost.get("warnings", ())],
    }
    if before or counts:
        merged["lost"] = {**before, **counts}
    return merged


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _devices(properties: Any, texts: Texts) -> list[dict[str, Any]]:
    if isinstance(properties, str):  # some tools write the list as text
        try:
            properties = json.loads(properties.replace("'", '"'))
        except ValueError:
            return []
    kept = []
    for device in properties if isinstance(properties, list) else ():
        if isinstance(device, dict):
            entry = {k: v for k, v in device.items() if _is_number(v) and k.isidentifier()}
            for key in ("id", "name"):
                if isinstance(device.get(key), str):
                    entry[key] = texts.text(device[key])
            if device.get("uuid"):
                entry["uuid"] = texts.identity(str(device["uuid"]))
            kept.append(entry)
    return kept


class _Cleaner:
    """Cleans the events of one file."""

    def __init__(self, texts: Texts, result: Scrubbed, own: bool) -> None:
        self.names: set[str] = set()
        self._texts = texts
        self._result = result
        self._numbers = NUMBERS | OUR_NUMBERS if own else NUMBERS
        self._own = own
        self._stand_ins: dict[tuple[str, str], str] = {}

    def events(self, text: bytes) -> Iterator[bytes]:
        """Yield the events of a text, cleaned and encoded."""
        for event in self._decoded(text):
            kept = self._event(event)
            if kept is not None:
                yield _encode(kept)

    def _decoded(self, text: bytes) -> list[dict[str, Any]]:
        try:
            return _decode(b"[" + text + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # the reader, which wants less of an event, did not see this damage
        events, at = [], 0
        while (start := text.find(b"{", at)) >= 0:
            at = object_end(text, start, len(text))
            for fixed in (text[start:at], *(fixed for fixed, _ in repairs(text[start:at]))):
                try:
                    events += _decode(b"[" + fixed + b"]")
                    break
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
            else:
                self._result.remove("events that cannot be read")
        return events

    def _event(self, event: dict[str, Any]) -> dict[str, Any] | None:
        phase, category, name = event.get("ph"), event.get("cat"), event.get("name")
        if phase not in PHASES or (category is not None and str(category) not in KEPT_CATEGORIES):
            self._result.remove("events of kinds that idlescope does not know")
            return None
        if phase == "M" and not self._may_stay(name, event.get("args")):
            self._result.remove("names and labels of processes")
            return None
        kept: dict[str, Any] = {"ph": phase}
        if category is not None:
            kept["cat"] = category
        if name is not None:
            kept["name"] = self._texts.name(str(name))
            self.names.add(kept["name"])
        for key in ("pid", "tid", "id"):
            if key in event:
                kept[key] = self._token(key, event[key])
        for key in ("ts", "dur"):
            if isinstance(event.get(key), (int, Decimal)) or TIME.fullmatch(str(event.get(key))):
                kept[key] = event[key]
            elif key in event:
                kept[key] = None  # no number to the reader, either
        for key, values in (("bp", ("e",)), ("s", ("t", "p", "g"))):
            if event.get(key) in values:
                kept[key] = event[key]
        if isinstance(event.get("args"), dict):
            kept["args"] = self._args(event["args"], label=phase == "M")
        return kept

    def _may_stay(self, name: Any, args: Any) -> bool:
        if name not in METADATA_EVENTS:
            return False
        return (
            name != "process_labels"
            or PROCESS_LABEL.fullmatch(str((args or {}).get("labels"))) is not None
        )

    def _args(self, args: dict[str, Any], label: bool) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in args.items():
            if key in self._numbers:
                kept[key] = self._numbers_of(value, text=key == "stream")
            elif key in TEXTS:
                kept[key] = self._numbers_of(value, text=True)
            elif key in PIDS:
                kept[key] = self._token("pid", value)
            elif key in TIDS and self._own:
                kept[key] = self._token("tid", value)
            elif label and key in ("name", "labels"):
                kept[key] = self._texts.text(str(value))
                self.names.add(kept[key])
            else:
                self._result.remove("arguments of events")
        return kept

    def _numbers_of(self, value: Any, text: bool, depth: int = 0) -> Any:
        """Return numbers, also in lists and written as text, and cleaned text where it may stand."""
        if value is None or isinstance(value, (bool, int, Decimal)):
            return value
        if isinstance(value, str):
            return value if NUMBER.fullmatch(value) else self._texts.text(value) if text else None
        if isinstance(value, list) and depth < DEEPEST:
            return [self._numbers_of(v, text, depth + 1) for v in value]
        return None

    def _token(self, key: str, value: Any) -> Any:
        """Return an id as it is where it is a number, else one that stands for it throughout the file."""
        if value is None or isinstance(value, (bool, int, Decimal)):
            return value
        text = str(value)
        if NUMBER.fullmatch(text) or TRACKS.fullmatch(text):
            return text
        if (key, text) not in self._stand_ins:
            self._result.remove("names that stood for ids")
        return self._stand_ins.setdefault((key, text), f"{key} {len(self._stand_ins) + 1}")
