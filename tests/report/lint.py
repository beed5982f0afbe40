"""What Perfetto loses or refuses without a word: each finding is one sentence, none for a file that it shows whole.

The rules are those of the trace processor of Perfetto v51 to v56, which reads Chrome JSON.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PHASES = frozenset("XMCsf")  # those that idlescope writes
EXACT_BELOW_US = 2**43  # above, a float64 of microseconds loses nanoseconds


def load(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def findings(document: dict[str, Any]) -> list[str]:
    """Return what would be lost of a document that was loaded with `load`."""
    events = [e for e in document["traceEvents"] if e["ph"] != "M"]
    slices = [e for e in events if e["ph"] == "X"]
    return [*(f for e in events for f in _event(e)), *_nesting(slices), *_arrows(events, slices)]


def _event(e: dict[str, Any]) -> Iterator[str]:
    phase, what = e["ph"], _what(e)
    if phase not in PHASES:
        yield f"{what}: unknown phase {phase!r}"
    if not 0 <= e["ts"] < EXACT_BELOW_US:
        yield f"{what}: the time is negative or too large"
    if phase == "X" and not (math.isfinite(e["dur"]) and e["dur"] >= 0):
        yield f"{what}: lasts {e['dur']}"
    if phase == "C" and not all(isinstance(v, (int, float)) and math.isfinite(v) for v in e["args"].values()):
        yield f"{what}: a counter that is no number"
    if phase != "C" and e["tid"] == 0:
        yield f"{what}: lies on the track of its process's main thread"
    if phase == "f" and e.get("bp") != "e":
        yield f"{what}: an arrow ends at the next slice, not at its own"


def _nesting(slices: list[dict[str, Any]]) -> Iterator[str]:
    tracks: dict[Any, list[tuple[int, int, str]]] = defaultdict(list)
    for e in slices:
        # the tid 0 is the process's main thread, whose tid is the pid
        tracks[e["pid"], e["tid"] or e["pid"]].append((_ns(e["ts"]), -_ns(e["dur"]), _what(e)))
    for track, rows in tracks.items():
        around: list[int] = []
        for start, negative, what in sorted(rows):
            while around and around[-1] <= start:
                around.pop()
            if around and start - negative > around[-1]:
                yield f"{what}: overlaps without nesting on {track} and is dropped"
            else:
                around.append(start - negative)


def _arrows(events: list[dict[str, Any]], slices: list[dict[str, Any]]) -> Iterator[str]:
    starts = {(e["pid"], e["tid"], e["ts"]) for e in slices}
    arrows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for e in events:
        if e["ph"] in "sf":
            arrows[e["id"]].append(e)
    for number, ends in arrows.items():
        if [e["ph"] for e in ends] != ["s", "f"] or ends[0]["ts"] > ends[1]["ts"]:
            yield f"arrow {number} has the ends {ends}"
        if not all((e["pid"], e["tid"], e["ts"]) in starts for e in ends):
            yield f"arrow {number} hangs on no slice"


def _what(e: dict[str, Any]) -> str:
    return f"{e.get('name')!r} at {e.get('ts')}"


def _ns(us: float) -> int:
    return round(us * 1000)
