"""What of one rank the others need: its calls of collectives, when it computed and was idle."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from msgspec import Struct, structs

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.trace.table import Int64

NO_STEP = -1


class CollectiveCalls(Struct, frozen=True):
    """The communication kernels of one rank within its window, by start. Times in nanoseconds."""

    start: Int64
    end: Int64
    collective: Int64  # code of the Collective
    key: Int64  # index into `RankTimeline.keys`
    step: Int64  # number of the step; NO_STEP: of none
    kind: Int64  # code of the StepKind of that step

    def __len__(self) -> int:
        return self.start.size

    @property
    def length(self) -> Int64:
        """Return how long each call took."""
        return self.end - self.start

    def timed(self, change: Callable[[Int64], Int64]) -> CollectiveCalls:
        """Return the calls with their times changed."""
        start, end, *others = structs.astuple(self)
        return CollectiveCalls(change(start), change(end), *others)


class CallKey(NamedTuple):
    """What calls of one kind have in common on every rank."""

    group: str  # the process group, where the profiler says it; empty: not said
    kernel: str
    stream: int  # 0 for the stream with the first such call, 1 for the next


class RankTimeline(Struct, frozen=True):
    """One rank's part of what ranks do together. Times in nanoseconds on its own clock."""

    calls: CollectiveCalls
    keys: tuple[CallKey, ...]
    covered: Intervals  # disjoint: communication runs
    computing: Intervals  # disjoint: other kernels run
    idle: Intervals  # the gaps
    host_idle: Intervals  # the part of each gap that is the host's

    def shifted(self, ns: int) -> RankTimeline:
        """Return the rank's times as a clock shows them that is so many nanoseconds ahead."""
        return self.timed(lambda time: time + ns) if ns else self

    def timed(self, change: Callable[[Int64], Int64]) -> RankTimeline:
        """Return the rank with all of its times changed, as by another clock."""
        spans = (self.covered, self.computing, self.idle, self.host_idle)
        return RankTimeline(
            self.calls.timed(change),
            self.keys,
            *(Intervals(change(times.start), change(times.end)) for times in spans),
        )


def timeline(device: MeasuredDevice) -> RankTimeline:
    """Return what the other ranks need of one device, within its window."""
    view, (low, high) = device.view, device.occupancy.window
    rows = np.flatnonzero(view.collective > 0)
    operations = view.operations.take(rows)
    inside = (operations.end > low) & (operations.start < high)
    rows, operations = rows[inside], operations.take(inside)
    keys, key_of_call = _keys(device, rows)
    step = device.step[rows].astype(np.int64)
    calls = CollectiveCalls(
        start=np.maximum(operations.start, low),
        end=np.minimum(operations.end, high),
        collective=view.collective[rows],
        key=key_of_call,
        step=step,
        kind=_kinds(device.steps, step),
    )
    gaps = device.gaps
    host_idle = Intervals(gaps.start, gaps.start + gaps.host)
    return RankTimeline(
        calls=calls,
        keys=keys,
        covered=device.communication.covered,
        computing=device.communication.computing,
        idle=device.occupancy.gaps,
        host_idle=intervals.clip(host_idle, low, high),
    )


def _kinds(steps: Steps, step: Int64) -> Int64:
    """Return the kind of each of some steps, given by number."""
    kind = np.full(step.size, StepKind.UNKNOWN.code, np.int64)
    if len(steps):
        row = np.clip(np.searchsorted(steps.number, step), 0, len(steps) - 1)
        known = steps.number[row] == step
        kind[known] = steps.kind[row[known]]
    return kind


def _keys(device: MeasuredDevice, rows: Int64) -> tuple[tuple[CallKey, ...], Int64]:
    """Return the distinct keys of some operations, in the order of their first calls, and each's.

    Streams have other numbers on other ranks: they are told by which came first.
    """
    view = device.view
    operations = view.operations.take(rows)
    stream_order = _order_of_first(operations.stream.astype(np.int64))
    process_groups = view.process_group[rows].astype(np.int64)
    names = operations.name.astype(np.int64)
    columns = np.stack((process_groups, names, stream_order), 1)
    distinct, key_of_row = _in_order_of_first(columns)

    texts = (*view.trace.names, "")  # -1: no group is said
    keys = []
    for group, name, stream in distinct.tolist():
        key = CallKey(texts[group], texts[name], stream)
        keys.append(key)
    return tuple(keys), key_of_row


def _in_order_of_first(values: Int64) -> tuple[Int64, Int64]:
    """Return the distinct values, or rows, as they come, and which of them each is."""
    distinct, first, row = np.unique(values, axis=0, return_index=True, return_inverse=True)
    by_first = np.argsort(first, kind="stable")
    place = np.empty(by_first.size, np.int64)
    place[by_first] = np.arange(by_first.size)
    return distinct[by_first], place[row.reshape(-1)]


def _order_of_first(values: Int64) -> Int64:
    """Return for each value how many others came first."""
    _, order = _in_order_of_first(values)
    return order
