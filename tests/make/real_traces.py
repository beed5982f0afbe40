"""Real traces: what is said of each, analysed once for all tests of a file, and parts of those that are large."""

from __future__ import annotations

import gzip
import os
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import idlescope


@lru_cache(maxsize=1)
def analysed(path: Path) -> idlescope.Analysis:
    """Return the analysis of a trace, and the trace in it, while no other is asked about."""
    return idlescope.analyze(idlescope.open(path))


@cache
def document_of(path: Path) -> dict[str, Any]:
    """Return the JSON of a trace's analysis; whoever changes it changes it for all tests of a process."""
    return analysed(path).to_json()


LARGE_BYTES = 20_000_000  # of a Kineto file's text: some 80,000 events
NEXT_EVENT, KERNEL = b"},\n  {", b'"cat": "kernel"'
TIME = re.compile(rb'"ts": ([0-9.]+)')
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
    # under its name at once: another worker of xdist may look for it, or write it, too
    written = folder / f"{os.getpid()}.{path.name}"
    written.write_bytes(gzip.compress(_about_the_first_kernel(text), 1))
    written.replace(kept)
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
    found = TIME.search(event)
    return ALWAYS if found is None else float(found[1])
