"""What the page's script draws: the lanes and steps of every line of work, packed as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from idlescope.analysis.ranks.group import Group
from idlescope.analysis.result import DeviceResult
from idlescope.analysis.steps.typical import typical_steps
from idlescope.report.page.lane import NO_COLOUR, Lane
from idlescope.report.page.lanes import lanes
from idlescope.report.page.packing import Packer
from idlescope.report.page.rank_lanes import MOST_UNFOLDED, kept, rank_lanes
from idlescope.report.text import visible
from idlescope.report.work_line import WorkLine
from idlescope.trace.table import Int64

MAX_INTERVALS = 1_000_000  # in a page; of more, those around the longest gap are kept
MAX_NAME_CHARACTERS = 160
MARGIN_PARTS = 20  # beside what is seen first, such a part of it


@dataclass(frozen=True)
class PackedTimeline:
    """A JSON document and the integer columns that it speaks of, as text.

    The document has `names` and `colours`, by code, and `items`, one for each line of work; `shown`
    is what is seen first, from when to when, as times of the items; null for all.
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


def pack(lines: Sequence[WorkLine], group: Group | None = None) -> PackedTimeline:
    """Return the timelines and the steps of several lines of work, below that of their ranks.

    Lines of one trace share their clock: times count from the first thing that is drawn of it.
    `zero_ns` is where the window of the figures begins, `end_ns` where it ends.
    """
    line_lanes = [_LineLanes(work_line, lanes(work_line)) for work_line in lines]
    of_ranks = rank_lanes(group) if group is not None and group.communicates else []
    origins = _origins(line_lanes)
    if of_ranks:  # of one trace, as the lines
        first_ns = min(int(lane.start[0]) for lane in of_ranks)
        origins = {clock: min(origin, first_ns) for clock, origin in origins.items()}
    most_of_each = MAX_INTERVALS // max(len(lines), 1)
    packer, name_codes = Packer(), _Names()
    packed_ranks: list[dict[str, Any]] = []
    if group is not None and of_ranks:  # the script reads columns in the order of items
        no_names = _LanePacker(packer, name_codes, min(origins.values()), ())
        packed_ranks = _pack_ranks(group, of_ranks, no_names)
    packed_lines: list[dict[str, Any]] = []
    for drawn in line_lanes:
        origin = origins[_clock(drawn.line)]
        ended_by = (*drawn.line.trace.names, "the end of the window")
        lane_packer = _LanePacker(packer, name_codes, origin, ended_by)
        packed_lines.append(_pack_line(drawn, most_of_each, lane_packer))
    shown = _shown_first(line_lanes, packed_lines, origins)
    document = {
        "shown": shown,
        "names": name_codes.texts,
        "colours": name_codes.colours,
        "items": [*packed_ranks, *packed_lines],
    }
    return PackedTimeline(document, packer.text())


def _pack_line(drawn: _LineLanes, most: int, lane_packer: _LanePacker) -> dict[str, Any]:
    """Add the columns of one line of work; return what the script has to know of it."""
    result, origin = drawn.line.result, lane_packer.origin
    kept_lanes = drawn.lanes
    if drawn.intervals > most:
        kept_lanes = _around_longest_gap(drawn, most)
    return {
        "title": visible(drawn.line.title),
        "zero_ns": result.window.start - origin,
        "end_ns": result.window.end - origin,
        "idle_pct": result.idle_pct,
        "from_ns": min(int(lane.start[0]) for lane in kept_lanes) - origin,
        "until_ns": max(int(lane.start[-1]) for lane in kept_lanes) - origin,
        "left_out": drawn.intervals - sum(lane.start.size for lane in kept_lanes),
        "lanes": [lane_packer.pack(lane) for lane in kept_lanes],
        "steps": _pack_steps(lane_packer.packer, result, origin),
    }


def _pack_ranks(
    group: Group, of_ranks: list[Lane], lane_packer: _LanePacker
) -> list[dict[str, Any]]:
    """Add a lane for each rank, the first of them and, folded, the others."""
    drawn = kept(of_ranks)
    left_out = sum(lane.start.size for lane in of_ranks) - sum(
        lane.start.size for lane in drawn
    )
    parts = [("ranks", drawn[:MOST_UNFOLDED]), ("further ranks", drawn[MOST_UNFOLDED:])]
    idle_pct = float(np.mean([rank.idle_pct for rank in group.ranks]))
    origin = lane_packer.origin
    begin = min(int(lane.start[0]) for lane in of_ranks)
    end = max(int(lane.end.max()) for lane in of_ranks)
    return [
        {
            "title": f"{len(part)} {what}",
            "zero_ns": begin - origin,
            "end_ns": end - origin,
            "idle_pct": idle_pct,
            "from_ns": min(int(lane.start[0]) for lane in part) - origin,
            "until_ns": max(int(lane.start[-1]) for lane in part) - origin,
            "left_out": left_out if what == "ranks" else 0,
            "lanes": [lane_packer.pack(lane) for lane in part],
            "steps": {"rows": 0, "found": "", "planes": {}},
            "ranks": True,
            "folded": what != "ranks",
        }
        for what, part in parts
        if part
    ]


def _origins(line_lanes: Iterable[_LineLanes]) -> dict[int, int]:
    """Return the first time that is drawn of each recording, by its clock."""
    origins: dict[int, int] = {}
    for line_drawn in line_lanes:
        clock = _clock(line_drawn.line)
        origins[clock] = min(line_drawn.first_ns, origins.get(clock, line_drawn.first_ns))
    return origins


def _clock(line: WorkLine) -> int:
    """Return what tells clocks apart: ranks of one folder share it, and their names."""
    return id(line.trace.names)


def _shown_first(
    line_lanes: Sequence[_LineLanes],
    packed_lines: Sequence[dict[str, Any]],
    origins: dict[int, int],
) -> list[int] | None:
    """Return when typical steps of the line that idles most ran, while all lines had work."""
    idlest = max(line_lanes, key=lambda drawn: drawn.line.result.idle_pct).line
    origin = origins[_clock(idlest)]
    low = max(packed["from_ns"] for packed in packed_lines)
    high = min(packed["until_ns"] for packed in packed_lines)
    shown = typical_steps(idlest.result.steps, low + origin, high + origin)
    if shown is None:
        return None
    first_ns, last_ns = (moment - origin for moment in shown)
    margin_ns = (last_ns - first_ns) // MARGIN_PARTS
    return [first_ns - margin_ns, last_ns + margin_ns]


def _around_longest_gap(drawn: _LineLanes, most: int) -> list[Lane]:
    """Return at most `most` intervals: as many before the longest gap as after it, the nearest."""
    starts = np.sort(np.concatenate([lane.start for lane in drawn.lanes]))
    longest = drawn.line.result.longest
    gap_start = longest[0].start_ns if longest else int(starts[0])
    before_gap = int(np.searchsorted(starts, gap_start)) - most // 2
    first_row = min(max(before_gap, 0), starts.size - most)
    window_start, window_end = starts[first_row], starts[first_row + most - 1]
    kept_lanes = [
        lane.take((lane.start >= window_start) & (lane.start < window_end))
        for lane in drawn.lanes
    ]
    return [lane for lane in kept_lanes if lane.start.size]


class _Names:
    """The names that are shown, each with its colour, coded in the order of their first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.colours: list[str] = []
        self._codes: dict[tuple[str, str], int] = {}

    def code(self, text: str, colour: str) -> int:
        shown_text = visible(text[:MAX_NAME_CHARACTERS])
        name_key = (shown_text, colour)
        if name_key not in self._codes:
            self._codes[name_key] = len(self.texts)
            self.texts.append(shown_text)
            self.colours.append(colour)
        return self._codes[name_key]

    def recode(self, codes: Int64, texts: Sequence[str], colours: Sequence[str]) -> Int64:
        """Return codes of these names for codes that are indices into `texts` and `colours`."""
        used_codes, code_row = np.unique(codes, return_inverse=True)
        recoded = [
            self.code(texts[used_code], colours[used_code])
            for used_code in used_codes.tolist()
        ]
        return np.array(recoded, np.int64)[code_row]


class _LanePacker(NamedTuple):
    """Packs the lanes of one line of work."""

    packer: Packer
    names: _Names
    origin: int  # ns
    ended_by: Sequence[str]  # texts of Lane.ended_by

    def pack(self, lane: Lane) -> dict[str, Any]:
        """Add a lane's columns; return what the script has to know of them."""
        add_plane, recode = self.packer.add, self.names.recode
        planes = {
            "start": add_plane(np.diff(lane.start, prepend=self.origin)),
            "length": add_plane(
                np.maximum(lane.end - lane.start, 0)
            ),  # negative in damaged traces
            "name": add_plane(recode(lane.name, lane.texts, lane.colours)),
            "step": add_plane(lane.step + 1),
        }
        if lane.ended_by is not None:
            no_colours = [NO_COLOUR] * len(self.ended_by)
            planes["detail"] = add_plane(recode(lane.ended_by, self.ended_by, no_colours))
        used_names = np.unique(lane.name).tolist()
        return {
            "label": lane.label,
            "rows": int(lane.start.size),
            "planes": planes,
            "colours": sorted({lane.colours[name] for name in used_names}),
        }


def _pack_steps(packer: Packer, result: DeviceResult, origin: int) -> dict[str, Any]:
    result_steps = result.steps
    columns = {
        "number": result_steps.number,
        "start": np.maximum(result_steps.start - origin, 0),
        "end": np.maximum(result_steps.end - origin, 0),
        "host": result_steps.host,
        "device": result_steps.device,
        "idle": result_steps.idle,
        "operations": result_steps.operations,
        "early": result_steps.early.astype(np.int64),
    }
    planes = {column_name: packer.add(column) for column_name, column in columns.items()}
    return {"rows": len(result_steps), "found": result_steps.found, "planes": planes}
