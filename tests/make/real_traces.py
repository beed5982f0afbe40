"""What is said of real traces, each read and analysed once for all tests of a process."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path
from typing import Any

import idlescope


@cache
def document_of(path: Path) -> dict[str, Any]:
    """Return the JSON of a trace's analysis; whoever changes it changes it for all."""
    return idlescope.analyze(idlescope.open(path)).to_json()


LARGE_BYTES = 20_000_000  # of a Kineto file's text: some 80,000 events
NEXT_EVENT, TIME, KERNEL = b"},\n  {", b'"ts": ', b'"cat": "kernel"'
BEFORE, AFTER = 8_000, 12_000  # events that are kept about the first kernel
ALWAYS = 0.0  # the time of what has none, such as a thread's name


def part(path: Path, folder: Path) -> Path:
    """Return a real trace, or of one that is very large a file in `folder` with a part of it.

    That is a whole Kineto file: its head and its end, and of its events those of the time about the
    first kernel.
    """
    if not path.name.endswith(".json.gz"):
        return path
    kept = folder / path.name
    if kept.exists():
        return kept
    text = gzip.decompress(path.read_bytes())
    if len(text) < LARGE_BYTES:
        return path
    folder.mkdir(exist_ok=True)
    kept.write_bytes(gzip.compress(_about_the_first_kernel(text), 1))
    return kept


def _about_the_first_kernel(text: bytes) -> bytes:
    head, *events, end = text.split(NEXT_EVENT)
    times = [_time(event) for event in events]
    first = min(t for t, event in zip(times, events, strict=True) if KERNEL in event)
    in_order = sorted(times)
    place = in_order.index(first)
    low = in_order[max(0, place - BEFORE)]
    high = in_order[min(place + AFTER, len(in_order) - 1)]
    inside = (
        event
        for t, event in zip(times, events, strict=True)
        if t == ALWAYS or low <= t <= high
    )
    return NEXT_EVENT.join((head, *inside, end))


def _time(event: bytes) -> float:
    """Return when an event was, µs."""
    _, _, after = event.partition(TIME)
    digits, *_ = re.split(rb"[^0-9.]", after[:25], maxsplit=1)
    return float(digits or ALWAYS)
