"""What a trace may say of itself when it is shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from idlescope.trace.damage import LOSS
from idlescope.trace.scrub.counts import Scrubbed
from idlescope.trace.scrub.texts import Texts

# entries of Trace.meta: what was run, as far as idlescope itself chose the words, and what readers repaired and lost
ENTRIES = frozenset({
    "format", "source", "mode", "measured", "device", "model", "gpu", "baseTimeNanoseconds", "time_offset_ns",
    "warnings", "lost", "truncated", "dropped", "graph_level", "export_schema", "with_stack", "record_shapes",
    "profile_memory", "interrupted",
})  # fmt: skip
BACKENDS = frozenset({"nccl", "gloo", "mpi", "ucc", "xccl", "hccl"})
# Words by which the analysis tells records that no figure depends on, and what they are called in a shared file.
KINDS_LOST = {
    "nvtx": "NVTX", "os runtime": "OS runtime", "sampl": "sampling", "context switch": "context switch",
    "ftrace": "ftrace",
}  # fmt: skip
REPAIRED = "records were repaired or left out when the trace was read, before it was scrubbed"
OTHER_ENTRIES = "entries about the recording"


def cleaned(meta: Mapping[str, Any], texts: Texts, result: Scrubbed) -> dict[str, Any]:
    """Return the entries of `Trace.meta` that say nothing of who recorded it and where."""
    kept = {key: _plain(value, texts) for key, value in meta.items() if key in ENTRIES}
    if kept.pop("warnings", None):  # they hold the names of files
        kept["warnings"] = [REPAIRED]
    if "dropped" in kept:
        said = kept["dropped"] if isinstance(kept["dropped"], list) else []
        kept["dropped"] = [loss(m) for m in said if isinstance(m, str)]
    if isinstance(meta.get("distributedInfo"), dict):
        kept["distributedInfo"] = distributed(meta["distributedInfo"])
    result.remove(OTHER_ENTRIES, len(meta.keys() - kept.keys() - {"path", "events"}))
    return kept


def distributed(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return a process's place among the others, without the groups, which are named by users."""
    kept = {key: info[key] for key in ("rank", "world_size") if type(info.get(key)) is int}
    return kept | ({"backend": info["backend"]} if info.get("backend") in tuple(BACKENDS) else {})


def loss(message: str) -> str:
    """Return a sentence of our own for a profiler's message that records were lost, which can have any text in it."""
    kind = next((f"{name} " for word, name in KINDS_LOST.items() if word in message.lower()), "")
    return f"The profiler lost {kind}records."


def losses(messages: Iterable[Any]) -> list[str]:
    """Return the sentences for those of some messages that say that records were lost."""
    return [loss(m) for m in messages if isinstance(m, str) and LOSS.search(m)]


def _plain(value: Any, texts: Texts) -> Any:
    """Return numbers and texts, in lists or under names of our own; nothing deeper."""
    if isinstance(value, str):
        return texts.text(value)
    if isinstance(value, (list, tuple)):
        return [
            texts.text(v) if isinstance(v, str) else v
            for v in value
            if isinstance(v, (str, int, float))
        ]
    if isinstance(value, dict):  # `lost`: kinds of records and counts
        return {k: v for k, v in value.items() if isinstance(v, int) and k.isidentifier()}
    return value if isinstance(value, (bool, int, float)) else None
