"""The lanes of a page's timeline: what the host and each kind of work on the device did, and the gaps by cause."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.result import DeviceResult
from idlescope.palette import CAUSE, OPERATION, PHASE
from idlescope.report.page.packing import Packer
from idlescope.report.text import visible
from idlescope.trace.model import OperationKind, RangeKind, Trace
from idlescope.trace.names.calls import matching
from idlescope.trace.names.engines import IDLE, PROFILER_STEP, STEP, Phases
from idlescope.trace.table import Int64

MOST = 1_000_000  # intervals in a page; of more, those about the longest gap
NAME_SHOWN = 160  # characters
# Phases of other engines, by what they are in ours; what is not here has a colour of its own.
LIKE = {
    "ingest": "schedule", "h2d": "submit", "forward": "submit", "draft": "submit", "sample": "submit",
    "d2h": "retrieve", "sync_wait": "retrieve", "postprocess": "update", "detokenize": "update",
}  # fmt: skip
COPIES = {
    "H2D": re.compile("HtoD|HostToDevice"),
    "D2H": re.compile("DtoH|DeviceToHost"),
}  # by name of the copy
LABELS = ("host", "H2D", "compute", "D2H", "other copies", "gaps")  # top to bottom
NO_COLOUR = ""


@dataclass(frozen=True)
class Lane:
    """One row of the timeline: intervals by start, times in ns; `text` and `colour` are by the codes in `name`."""

    label: str
    start: Int64
    end: Int64
    name: Int64
    step: Int64  # -1: not known
    text: Sequence[str]
    colour: Sequence[str]
    detail: Int64 | None = (
        None  # of gaps: what ended them, a code of the trace's names; one more: nothing
    )

    def take(self, rows: Any) -> Lane:
        """Return some of its intervals."""
        detail = None if self.detail is None else self.detail[rows]
        columns = (self.start[rows], self.end[rows], self.name[rows], self.step[rows])
        return Lane(self.label, *columns, self.text, self.colour, detail)


def lanes(trace: Trace, result: DeviceResult, phases: Phases) -> list[Lane]:
    """Return a device's lanes, of LABELS, top to bottom: those that hold anything in the window.

    The host is the thread that made most launches of the device's operations.
    """
    found = [_host(trace, result, phases), *_operations(trace, result), _gaps(trace, result)]
    return [lane for lane in found if lane.start.size]


def _host(trace: Trace, result: DeviceResult, phases: Phases) -> Lane:
    """Return what the launching thread was doing, innermost: phases, waits and collections, else its calls."""
    ranges, calls, names = trace.ranges, trace.calls, trace.names
    made = result.launches[result.launches >= 0]
    of_process = trace.threads_of(result.device.process)
    thread = (
        int(np.bincount(calls.thread[made]).argmax())
        if made.size
        else int(np.argmax([*of_process, True]))
    )
    own = ranges.thread == thread
    whole = phases.named(STEP) | matching(PROFILER_STEP, names)
    annotated = own & (ranges.kind == RangeKind.ANNOTATION) & ~whole[ranges.name]
    known = annotated & (phases.phase[ranges.name] >= 0)
    chosen = known if known.any() else annotated
    called = (calls.thread == thread) & (result.waits if chosen.any() else True)
    chosen = chosen | (own & (ranges.kind == RangeKind.GARBAGE_COLLECTION))
    start = np.concatenate((ranges.start[chosen], calls.start[called]))
    end = np.concatenate((ranges.end[chosen], calls.end[called]))
    name = np.concatenate((ranges.name[chosen], calls.name[called])).astype(np.int64)
    step = np.concatenate((ranges.step[chosen], np.full(int(called.sum()), -1))).astype(np.int64)
    flat, owner = intervals.innermost(start, end)
    inside = (flat.end > result.window.start) & (flat.start < result.window.end)
    start, owner = flat.start[inside], owner[inside]
    waiting = np.zeros(len(names), np.bool_)
    waiting[calls.name[result.waits]] = True
    return Lane(
        "host", start, flat.end[inside], name[owner], _step_at(result, start, step[owner]), names,
        [PHASE["retrieve"] if waiting[i] else _colour(phases, i) for i in range(len(names))],
    )  # fmt: skip


def _colour(phases: Phases, name: int) -> str:
    label = phases.labels[phases.phase[name]] if phases.phase[name] >= 0 else "other"
    return NO_COLOUR if label == IDLE else PHASE.get(LIKE.get(label, label), PHASE["other"])


def _step_at(result: DeviceResult, times: Int64, known: Int64) -> Int64:
    """Return the step of each time where it is not known: the one that the host had begun last."""
    steps = result.steps
    if not len(steps):
        return known
    at = np.searchsorted(steps.start, times, "right") - 1
    return np.where((known < 0) & (at >= 0), steps.number[np.maximum(at, 0)], known)


def _operations(trace: Trace, result: DeviceResult) -> Iterator[Lane]:
    touching = result.window.touches(result.operations)
    operations, step = result.operations.take(touching), result.step[touching]
    compute, copy = is_compute(operations), operations.kind == OperationKind.MEMCPY
    h2d, d2h = (
        copy & matching(COPIES[label], trace.names)[operations.name] for label in ("H2D", "D2H")
    )
    for label, mine in zip(LABELS[1:-1], (h2d, compute, d2h, ~(h2d | compute | d2h)), strict=True):
        some, colour = operations.take(mine), OPERATION.get(label, OPERATION["copy"])
        yield Lane(label, some.start, some.end, some.name.astype(np.int64), step[mine].astype(np.int64), trace.names,
                   [colour] * len(trace.names))  # fmt: skip


def _gaps(trace: Trace, result: DeviceResult) -> Lane:
    """Return the parts of each gap, in the order in which they pass: the host's, then what waits; `detail` ends it."""
    gaps = result.gaps
    row, cause, part = gaps.parts()
    step = np.append(result.step, -1)[gaps.operation[row]]
    detail = np.append(result.operations.name, len(trace.names))[gaps.operation[row]]
    return Lane("gaps", *part, cause, step, CAUSES, list(CAUSE.values()), detail)


@dataclass(frozen=True)
class Packed:
    """What the page's script draws: a JSON document and the columns that it speaks of, as text."""

    document: dict[str, Any]
    columns: str


def pack(shown: Sequence[tuple[str, Trace, DeviceResult, Phases]]) -> Packed:
    """Return the timelines and the steps of several lines of work; lines of one trace share their clock.

    Times count from the first thing that is drawn; `zero_ns` is where the window of the figures begins.
    """
    packer, names = Packer(), _Names()
    items = [
        (label, trace, result, lanes(trace, result, phases))
        for label, trace, result, phases in shown
    ]
    origin: dict[int, int] = {}
    for _, trace, result, found in items:
        first = min([result.window.start, *(int(lane.start[0]) for lane in found)])
        origin[id(trace)] = min(first, origin.get(id(trace), first))
    document: list[dict[str, Any]] = []
    for label, trace, result, found in items:
        zero, rows = origin[id(trace)], sum(lane.start.size for lane in found)
        drawn = (
            found
            if rows * len(items) <= MOST
            else _about_the_longest_gap(result, found, MOST // len(items))
        )
        document.append({
            "title": visible(label), "zero_ns": result.window.start - zero, "end_ns": result.window.end - zero,
            "idle_pct": result.idle_pct, "left_out": rows - sum(lane.start.size for lane in drawn),
            "lanes": [_lane(packer, names, lane, trace, zero) for lane in drawn],
            "steps": _steps(packer, result, zero),
        })  # fmt: skip
    return Packed({"names": names.text, "colours": names.colours, "items": document}, packer.text())


class _Names:
    """The names that are shown, each with its colour, coded in the order of their first use."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.colours: list[str] = []
        self._codes: dict[tuple[str, str], int] = {}

    def code(self, text: str, colour: str) -> int:
        key = (visible(text[:NAME_SHOWN]), colour)
        if key not in self._codes:
            self._codes[key] = len(self.text)
            self.text.append(key[0])
            self.colours.append(colour)
        return self._codes[key]

    def recode(self, codes: Int64, text: Sequence[str], colour: Sequence[str]) -> Int64:
        used, row = np.unique(codes, return_inverse=True)
        return np.array([self.code(text[i], colour[i]) for i in used.tolist()], np.int64)[row]


def _lane(packer: Packer, names: _Names, lane: Lane, trace: Trace, zero: int) -> dict[str, Any]:
    columns = {
        "start": packer.add(np.diff(lane.start, prepend=zero)),
        "length": packer.add(np.maximum(lane.end - lane.start, 0)),  # damaged traces have some that run back
        "name": packer.add(names.recode(lane.name, lane.text, lane.colour)), "step": packer.add(lane.step + 1),
    }  # fmt: skip
    if lane.detail is not None:
        ends = (*trace.names, "the end of the window")
        columns["detail"] = packer.add(names.recode(lane.detail, ends, [NO_COLOUR] * len(ends)))
    colours = sorted({lane.colour[code] for code in np.unique(lane.name).tolist()})
    return {
        "label": lane.label,
        "rows": int(lane.start.size),
        "planes": columns,
        "colours": colours,
    }


def _steps(packer: Packer, result: DeviceResult, zero: int) -> dict[str, Any]:
    steps = result.steps
    columns = {
        "number": steps.number, "start": np.maximum(steps.start - zero, 0), "end": np.maximum(steps.end - zero, 0),
        "host": steps.host, "device": steps.device, "idle": steps.idle, "operations": steps.operations,
        "early": steps.early.astype(np.int64),
    }  # fmt: skip
    return {
        "rows": len(steps),
        "found": steps.found,
        "planes": {name: packer.add(c) for name, c in columns.items()},
    }


def _about_the_longest_gap(result: DeviceResult, found: list[Lane], most: int) -> list[Lane]:
    """Return at most so many intervals: those that start soonest before and after the longest gap, as many of each."""
    starts = np.sort(np.concatenate([lane.start for lane in found]))
    longest = result.longest[0].start_ns if result.longest else int(starts[0])
    first = min(max(int(np.searchsorted(starts, longest)) - most // 2, 0), starts.size - most)
    low, high = starts[first], starts[first + most - 1]
    return [lane.take((lane.start >= low) & (lane.start < high)) for lane in found]
