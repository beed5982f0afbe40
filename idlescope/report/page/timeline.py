"""What the page's script draws: the lanes and steps of every line of work, packed as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from idlescope.analysis.result import DeviceResult
from idlescope.report.page.lanes import NO_COLOUR, Lane, lanes
from idlescope.report.page.packing import Packer
from idlescope.report.text import visible
from idlescope.report.work_line import WorkLine
from idlescope.trace.table import Int64

MAX_INTERVALS = 1_000_000  # in a page; of more, those around the longest gap are kept
MAX_NAME_CHARACTERS = 160


@dataclass(frozen=True)
class PackedTimeline:
    """A JSON document and the integer columns that it speaks of, as text.

    The document has `names` and `colours`, by code, and `items`: one for each line of work.
    """

    document: dict[str, Any]
    columns: str


class _LineLanes(NamedTuple):
    line: WorkLine
    lanes: list[Lane]

    @property
    def intervals(self) -> int:
        return sum(lane.start.size for lane in self.lanes)

    @property
    def first_ns(self) -> int:
        """The first time that is drawn."""
        lane_starts = (int(lane.start[0]) for lane in self.lanes)
        return min([self.line.result.window.start, *lane_starts])


def pack(lines: Sequence[WorkLine]) -> PackedTimeline:
    """Return the timelines and the steps of several lines of work.

    Lines of one trace share their clock: times count from the first thing that is drawn of it.
    `zero_ns` is where the window of the figures begins, `end_ns` where it ends.
    """
    line_lanes = [_LineLanes(line, lanes(line)) for line in lines]
    origins = _origins(line_lanes)
    packer, names = Packer(), _Names()
    items: list[dict[str, Any]] = []
    for drawn in line_lanes:
        line, origin = drawn.line, origins[id(drawn.line.trace)]
        kept = drawn.lanes
        if drawn.intervals * len(lines) > MAX_INTERVALS:
            kept = _around_longest_gap(drawn, MAX_INTERVALS // len(lines))
        ended_by = (*line.trace.names, "the end of the window")
        lane_packer = _LanePacker(packer, names, origin, ended_by)
        items.append(
            {
                "title": visible(line.title),
                "zero_ns": line.result.window.start - origin,
                "end_ns": line.result.window.end - origin,
                "idle_pct": line.result.idle_pct,
                "left_out": drawn.intervals - sum(lane.start.size for lane in kept),
                "lanes": [lane_packer.pack(lane) for lane in kept],
                "steps": _pack_steps(packer, line.result, origin),
            }
        )
    document = {"names": names.texts, "colours": names.colours, "items": items}
    return PackedTimeline(document, packer.text())


def _origins(line_lanes: Iterable[_LineLanes]) -> dict[int, int]:
    """Return the first time that is drawn of each trace, by the trace's id()."""
    origins: dict[int, int] = {}
    for drawn in line_lanes:
        key = id(drawn.line.trace)
        origins[key] = min(drawn.first_ns, origins.get(key, drawn.first_ns))
    return origins


def _around_longest_gap(drawn: _LineLanes, most: int) -> list[Lane]:
    """Return at most `most` intervals: as many before the longest gap as after it, the nearest."""
    starts = np.sort(np.concatenate([lane.start for lane in drawn.lanes]))
    longest = drawn.line.result.longest
    gap_start = longest[0].start_ns if longest else int(starts[0])
    before_gap = int(np.searchsorted(starts, gap_start)) - most // 2
    first = min(max(before_gap, 0), starts.size - most)
    low, high = starts[first], starts[first + most - 1]
    return [lane.take((lane.start >= low) & (lane.start < high)) for lane in drawn.lanes]


class _Names:
    """The names that are shown, each with its colour, coded in the order of their first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.colours: list[str] = []
        self._codes: dict[tuple[str, str], int] = {}

    def code(self, text: str, colour: str) -> int:
        shown = visible(text[:MAX_NAME_CHARACTERS])
        key = (shown, colour)
        if key not in self._codes:
            self._codes[key] = len(self.texts)
            self.texts.append(shown)
            self.colours.append(colour)
        return self._codes[key]

    def recode(self, codes: Int64, texts: Sequence[str], colours: Sequence[str]) -> Int64:
        """Return codes of these names for codes that are indices into `texts` and `colours`."""
        used, row = np.unique(codes, return_inverse=True)
        recoded = [self.code(texts[code], colours[code]) for code in used.tolist()]
        return np.array(recoded, np.int64)[row]


class _LanePacker(NamedTuple):
    """Packs the lanes of one line of work."""

    packer: Packer
    names: _Names
    origin: int  # ns
    ended_by: Sequence[str]  # texts of Lane.ended_by

    def pack(self, lane: Lane) -> dict[str, Any]:
        """Add a lane's columns; return what the script has to know of them."""
        add, recode = self.packer.add, self.names.recode
        planes = {
            "start": add(np.diff(lane.start, prepend=self.origin)),
            "length": add(np.maximum(lane.end - lane.start, 0)),  # negative in damaged traces
            "name": add(recode(lane.name, lane.texts, lane.colours)),
            "step": add(lane.step + 1),
        }
        if lane.ended_by is not None:
            no_colours = [NO_COLOUR] * len(self.ended_by)
            planes["detail"] = add(recode(lane.ended_by, self.ended_by, no_colours))
        used_names = np.unique(lane.name).tolist()
        return {
            "label": lane.label,
            "rows": int(lane.start.size),
            "planes": planes,
            "colours": sorted({lane.colours[name] for name in used_names}),
        }


def _pack_steps(packer: Packer, result: DeviceResult, origin: int) -> dict[str, Any]:
    steps = result.steps
    columns = {
        "number": steps.number,
        "start": np.maximum(steps.start - origin, 0),
        "end": np.maximum(steps.end - origin, 0),
        "host": steps.host,
        "device": steps.device,
        "idle": steps.idle,
        "operations": steps.operations,
        "early": steps.early.astype(np.int64),
    }
    planes = {name: packer.add(column) for name, column in columns.items()}
    return {"rows": len(steps), "found": steps.found, "planes": planes}
