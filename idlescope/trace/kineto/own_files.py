"""Kineto files that idlescope wrote: they hold more than Kineto has words for.

`idlescope convert` and `idlescope scrub` write an object `idlescope` at the top of the document,
before the list of events (export/perfetto/writer.py, scrub.py): what the trace says of itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from idlescope.errors import TraceError
from idlescope.trace.damage import KINDS, Damage
from idlescope.trace.kineto.events import KinetoEvents

MARKER = "idlescope"
MOST_SHIFT_NS = 2**61  # 73 years: with it, no time leaves int64 that is any time at all


def written_by_idlescope(path: Path) -> bool:
    """Return whether idlescope wrote a Kineto file.

    The name alone, as in an event's name or an argument, does not tell: only the object that our
    writers put at the top does.
    """
    try:
        text_before_events = KinetoEvents(path, Damage()).find_events()
        document = json.loads(text_before_events + b"]}", strict=False)
    except (TraceError, ValueError, RecursionError):
        return False
    return isinstance(document.get(MARKER), dict)


def stated(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what idlescope wrote of a trace that it converted, as entries of `Trace.meta`.

    Entries that are not of their type are left out. `metadata` is the document around the events.
    """
    marker = metadata.get(MARKER)
    entries = dict(marker) if isinstance(marker, dict) else {}
    for entry_name in ("warnings", "dropped"):
        messages = entries.pop(entry_name, None)
        if isinstance(messages, list):
            entries[entry_name] = [str(message) for message in messages]
    lost_records = entries.pop("lost", None)
    if isinstance(lost_records, dict):
        entries["lost"] = {
            kind: count
            for kind, count in lost_records.items()
            if kind in KINDS and isinstance(count, int)
        }
    shift = entries.pop("time_offset_ns", None)
    if isinstance(shift, int) and abs(shift) <= MOST_SHIFT_NS:
        entries["time_offset_ns"] = shift
    return entries
