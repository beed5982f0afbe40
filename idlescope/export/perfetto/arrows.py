"""Arrows of a trace viewer: from launches to what they started, along each step, and from a step to the next.

A step of a recording that names them goes submit → H2D → compute → D2H → retrieve, one arrow through all of them. From
compute N to compute N+1 goes another where step N+1 was submitted before the tokens of step N were retrieved: they can
only have been carried over on the device.

Time runs forward along an arrow. Perfetto ties it to the innermost slice that is open at its time (in submit and
retrieve, to the call that launches or waits, where one is) and turns it round where that one began before the slice
that the arrow comes from: a step that was waited for goes on to update, where the wait has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from idlescope.analysis.launches import link
from idlescope.engine.devices.base import COMPUTE, STREAMS
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.table import Int32, Int64

STEP, CARRY_OVER = (
    "idlescope step",
    "idlescope carry-over",
)  # their categories, which no reader of traces knows


class End(NamedTuple):
    """Where an arrow touches a range or an operation."""

    on_range: bool
    row: int
    time: int  # ns


class Arrow(NamedTuple):
    """Two ends or more, in the order of time."""

    category: str
    ends: list[End]


def launches(trace: Trace) -> tuple[Int64, Int64]:
    """Return for each operation the id of the arrow that ends at it, 0 where none does, and the call it comes from.

    There is one arrow from a launch to the first operation that it started on each stream: a graph's others follow on
    the same track. Ids are the correlation ids where those are unique, else running numbers. An operation that began
    before its launch, by its times, has none.
    """
    o = trace.operations
    call = link(trace, o)
    ids = np.zeros(len(o), np.int64)
    linked = np.flatnonzero(call >= 0)
    linked = linked[o.start[linked] >= trace.calls.start[call[linked]]]
    linked = linked[np.lexsort((o.start[linked], o.stream[linked], o.device[linked], call[linked]))]
    pairs = np.stack((call[linked], o.device[linked], o.stream[linked]))
    first = np.ones(linked.size, np.bool_)
    first[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
    chosen = linked[first]
    unique = (
        np.unique(o.correlation[chosen]).size == chosen.size and (o.correlation[chosen] > 0).all()
    )
    ids[chosen] = o.correlation[chosen] if unique else np.arange(1, chosen.size + 1)
    return ids, call


def steps(trace: Trace) -> Iterator[Arrow]:
    """Yield the arrows along and between the steps of a recording that names an engine's phases and streams."""
    r, o = trace.ranges, trace.operations
    for index, device in enumerate(trace.devices):
        submit, retrieve, update = (
            _ranges(trace, device.process, n) for n in ("submit", "retrieve", "update")
        )
        streams = [_operations(trace, index, name) for name in STREAMS]
        computed = streams[COMPUTE]
        for step in computed:
            ends = [End(True, submit[step], int(r.start[submit[step]]))] if step in submit else []
            ends += [End(False, s[step], int(o.start[s[step]])) for s in streams if step in s]
            later = (phase[step] for phase in (retrieve, update) if step in phase)
            after = next((row for row in later if r.start[row] > ends[-1].time), None)
            ends += [End(True, after, int(r.start[after]))] if after is not None else []
            yield from _forward(STEP, ends)
            if (
                step in retrieve and step + 1 in submit and step + 1 in computed
                and r.start[submit[step + 1]] < r.end[retrieve[step]]
            ):  # fmt: skip
                rows = computed[step], computed[step + 1]
                yield from _forward(
                    CARRY_OVER, [End(False, row, int(o.start[row])) for row in rows]
                )


def _forward(category: str, ends: list[End]) -> Iterator[Arrow]:
    """Yield the arrow through these ends, if it is one; those that are no later than one before are left out."""
    onward: list[End] = []
    for end in ends:
        if not onward or end.time > onward[-1].time:
            onward.append(end)
    if len(onward) > 1:
        yield Arrow(category, onward)


def _ranges(trace: Trace, process: int, name: str) -> dict[int, int]:
    """Return the row of each step's phase of a name."""
    r = trace.ranges
    rows = np.flatnonzero(
        (r.name == trace.name_index(name)) & (r.step >= 0) & (r.kind == RangeKind.ANNOTATION)
    )
    return _first(rows[trace.threads_of(process)[r.thread[rows]]], r.start, r.step)


def _operations(trace: Trace, device: int, stream: str) -> dict[int, int]:
    """Return the row of the first operation of each step on a stream of a device."""
    o = trace.operations
    if stream not in trace.streams:
        return {}
    rows = np.flatnonzero(
        (o.device == device) & (o.stream == trace.streams.index(stream)) & (o.step >= 0)
    )
    return _first(rows, o.start, o.step)


def _first(rows: Int64, start: Int64, step: Int32) -> dict[int, int]:
    rows = rows[np.lexsort((start[rows], step[rows]))]
    numbers, at = np.unique(step[rows], return_index=True)
    return dict(zip(numbers.tolist(), rows[at].tolist(), strict=True))
