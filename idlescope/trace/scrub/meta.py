"""What a trace may say of itself when it is shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from idlescope.trace.damage import LOSS
from idlescope.trace.names.engines import ENGINES
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.texts import Texts

# Entries of Trace.meta that stay: what was run, as far as idlescope itself chose the words, and
# what readers repaired and lost.
ENTRIES = frozenset(
    {
        "format",
        "source",
        "mode",
        "measured",
        "device",
        "model",
        "gpu",
        "baseTimeNanoseconds",
        "time_offset_ns",
        "warnings",
        "lost",
        "truncated",
        "dropped",
        "graph_level",
        "export_schema",
        "with_stack",
        "record_shapes",
        "profile_memory",
        "interrupted",
        # of a watch
        "tool_version",
        "steps_begin_late",
        "overlaps",
    }
)
# What a program that is watched may have chosen: such names stay as are idlescope's own.
CHOSEN_NAMES = {
    "way": frozenset({"events", "activity", "host", "cpu", "cuda"}),
    "engine": frozenset(engine.name for engine in ENGINES),
}
WATCHED_BY = "watched by "  # what our own notes on a watch begin with
BACKENDS = frozenset({"nccl", "gloo", "mpi", "ucc", "xccl", "hccl"})
# Words by which the analysis tells records that no figure depends on, and what such records are
# called in a shared file.
KINDS_LOST = {
    "nvtx": "NVTX",
    "os runtime": "OS runtime",
    "sampl": "sampling",
    "context switch": "context switch",
    "ftrace": "ftrace",
}
REPAIRED = (
    "records were repaired or left out when the trace was read, before it was scrubbed"
)
OTHER_ENTRIES = "entries about the recording"
# Entries that are made anew when a trace is read, so that leaving them out removes nothing.
MADE_BY_READERS = frozenset({"path", "events"})


def cleaned(meta: Mapping[str, Any], texts: Texts, result: Scrubbed) -> dict[str, Any]:
    """Return the entries of `Trace.meta` that say nothing of who recorded it and where."""
    kept_entries = {key: _plain(meta[key], texts) for key in meta if key in ENTRIES}
    for key, own_names in CHOSEN_NAMES.items():
        if meta.get(key) in own_names:
            kept_entries[key] = meta[key]
    if "engine" in kept_entries and "engine_version" in meta:
        kept_entries["engine_version"] = _plain(meta["engine_version"], texts)
    warnings = kept_entries.pop("warnings", None)
    if warnings:
        kept_entries["warnings"] = _warnings(warnings)
    if "dropped" in kept_entries:
        kept_entries["dropped"] = _losses_told(kept_entries["dropped"])
    distributed_info = meta.get("distributedInfo")
    if isinstance(distributed_info, dict):
        kept_entries["distributedInfo"] = distributed(distributed_info)
    result.remove(OTHER_ENTRIES, len(meta.keys() - kept_entries.keys() - MADE_BY_READERS))
    return kept_entries


def distributed(distributed_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return a process's place among the others, without the groups, which are named by users."""
    kept_entries: dict[str, Any] = {}
    for key in ("rank", "world_size"):
        # not isinstance: True is an int, too
        if type(distributed_info.get(key)) is int:
            kept_entries[key] = distributed_info[key]
    backend = distributed_info.get("backend")
    if isinstance(backend, str) and backend in BACKENDS:
        kept_entries["backend"] = backend
    return kept_entries


def loss(message: str) -> str:
    """Return a sentence of our own for a profiler's message that records were lost.

    The message can have any text in it; of it only the kind of record stays.
    """
    lower_message = message.lower()
    lost_kinds = [f"{name} " for word, name in KINDS_LOST.items() if word in lower_message]
    return f"The profiler lost {lost_kinds[0] if lost_kinds else ''}records."


def losses(messages: Iterable[Any]) -> list[str]:
    """Return our own sentences for those of some messages that say that records were lost."""
    texts = [message for message in messages if isinstance(message, str)]
    return [loss(text) for text in texts if LOSS.search(text)]


def _warnings(warnings: Any) -> list[str]:
    """Return a watch's notes; what others say may hold the names of files."""
    texts = [text for text in warnings if isinstance(text, str)]
    notes = [text for text in texts if text.startswith(WATCHED_BY)]
    return notes if len(notes) == len(texts) else [*notes, REPAIRED]


def _losses_told(dropped: Any) -> list[str]:
    """Return our own sentences for the entry `dropped`, all of whose messages tell of losses."""
    messages = dropped if isinstance(dropped, list) else []
    return [loss(message) for message in messages if isinstance(message, str)]


def _plain(value: Any, texts: Texts) -> Any:
    """Return numbers and cleaned texts, in lists or under names of our own; nothing deeper."""
    if isinstance(value, str):
        return texts.text(value)
    if isinstance(value, (list, tuple)):
        plain_items = [item for item in value if isinstance(item, (str, int, float))]
        return [texts.text(item) if isinstance(item, str) else item for item in plain_items]
    if isinstance(value, dict):
        # `lost`: kinds of records and counts
        return {
            key: count
            for key, count in value.items()
            if isinstance(count, int) and key.isidentifier()
        }
    return value if isinstance(value, (bool, int, float)) else None
