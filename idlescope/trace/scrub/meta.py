"""What a trace may say of itself when it is shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from idlescope.trace.scrub.result import Scrubbed
from idlescope.trace.scrub.text import Texts

# entries of Trace.meta: what was run, as far as idlescope itself chose the words, and what readers repaired and lost
ENTRIES = frozenset({
    "format", "source", "mode", "measured", "device", "model", "gpu", "baseTimeNanoseconds", "time_offset_ns",
    "warnings", "lost", "truncated", "dropped", "graph_level", "export_schema", "with_stack", "record_shapes",
    "profile_memory", "interrupted",
})  # fmt: skip
DISTRIBUTED = ("backend", "rank", "world_size")
OTHER_ENTRIES = "entries about the recording"


def cleaned(meta: Mapping[str, Any], texts: Texts, result: Scrubbed) -> dict[str, Any]:
    """Return the entries of `Trace.meta` that say nothing of who recorded it and where."""
    kept = {key: _plain(value, texts) for key, value in meta.items() if key in ENTRIES}
    if isinstance(meta.get("distributedInfo"), dict):
        kept["distributedInfo"] = distributed(meta["distributedInfo"], texts)
    result.remove(OTHER_ENTRIES, len(meta.keys() - kept.keys() - {"path", "events"}))
    return kept


def distributed(info: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    """Return a process's place among the others, without the groups, which are named by users."""
    return {key: _plain(info[key], texts) for key in DISTRIBUTED if key in info}


def _plain(value: Any, texts: Texts) -> Any:
    """Return numbers and texts, in lists or under names of our own; nothing deeper."""
    if isinstance(value, str):
        return texts.text(value)
    if isinstance(value, (list, tuple)):
        return [texts.text(v) if isinstance(v, str) else v for v in value if isinstance(v, (str, int, float))]
    if isinstance(value, dict):  # `lost`: kinds of records and counts
        return {k: v for k, v in value.items() if isinstance(v, int) and k.isidentifier()}
    return value if isinstance(value, (bool, int, float)) else None
