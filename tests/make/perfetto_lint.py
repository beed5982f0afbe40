"""What Perfetto loses or refuses without a word: each finding is one sentence, none for a file that it shows whole.

The rules are those of the trace processor of Perfetto v51 to v56, which reads Chrome JSON.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PHASES = frozenset("XMCistf")  # those that idlescope writes
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
    return [
        *(f for e in events for f in _event(e)),
        *_nesting(slices),
        *_arrows(events, slices),
    ]


def _event(e: dict[str, Any]) -> Iterator[str]:
    phase, what = e["ph"], _what(e)
    if phase not in PHASES:
        yield f"{what}: unknown phase {phase!r}"
    if not 0 <= e["ts"] < EXACT_BELOW_US:
        yield f"{what}: the time is negative or too large"
    if phase == "X" and not (math.isfinite(e["dur"]) and e["dur"] >= 0):
        yield f"{what}: lasts {e['dur']}"
    if phase == "C" and not all(
        isinstance(v, (int, float)) and math.isfinite(v) for v in e["args"].values()
    ):
        yield f"{what}: a counter that is no number"
    if phase != "C" and e["tid"] == 0:
        yield f"{what}: lies on the track of its process's main thread"
    if phase == "f" and e.get("bp") != "e":
        yield f"{what}: an arrow ends at the next slice, not at its own"


def _nesting(slices: list[dict[str, Any]]) -> Iterator[str]:
    tracks: dict[Any, list[tuple[int, int, str]]] = defaultdict(list)
    for e in slices:
        # the tid 0 is the process's main thread, whose tid is the pid
        tracks[e["pid"], e["tid"] or e["pid"]].append(
            (_ns(e["ts"]), -_ns(e["dur"]), _what(e))
        )
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
    tracks: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for e in slices:
        tracks[e["pid"], e["tid"]].append((_ns(e["ts"]), _ns(e["ts"]) + _ns(e["dur"])))
    arrows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for e in events:
        if e["ph"] in "stf":
            arrows[e["id"]].append(e)
    ends_on: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for e in events:
        if e["ph"] in "stf":
            ends_on[e["pid"], e["tid"]].append(e)
    on = {
        id(e): began
        for track, ends in ends_on.items()
        for e, began in _held(ends, tracks[track])
    }
    for number, ends in arrows.items():
        phases, times = "".join(e["ph"] for e in ends), [e["ts"] for e in ends]
        if (
            not re.fullmatch("st*f", phases)
            or len({e["cat"] for e in ends}) > 1
            or times != sorted(times)
        ):
            yield f"arrow {number} has the ends {ends}"
        began = [on.get(id(e)) for e in ends]
        if None in began:
            yield f"arrow {number} hangs on no slice"
        elif began != sorted(began):
            yield f"arrow {number} is turned round"


def _held(
    ends: list[dict[str, Any]], spans: list[tuple[int, int]]
) -> Iterator[tuple[dict[str, Any], int]]:
    """The arrows' ends on a track, each with the start of the innermost slice that it is tied to."""
    spans.sort(key=lambda span: (span[0], -span[1]))
    opened: list[tuple[int, int]] = []
    at = 0
    for e in sorted(ends, key=lambda e: e["ts"]):
        time = _ns(e["ts"])
        while at < len(spans) and spans[at][0] <= time:
            opened = [o for o in opened if o[1] > spans[at][0]]
            opened.append(spans[at])
            at += 1
        inner = next(
            (o for o in reversed(opened) if o[1] > time or o == (time, time)), None
        )
        if inner is not None:
            yield e, inner[0]


def _what(e: dict[str, Any]) -> str:
    return f"{e.get('name')!r} at {e.get('ts')}"


def _ns(us: float) -> int:
    return round(us * 1000)
