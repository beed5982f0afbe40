"""A stretch of time that is settled: what the host and the device did in it, ready to be measured.

A stretch ends where everything that was issued before has ended and is known, and never within a
gap of which it is known what ends it. So the idle time at its end, if there is any, is the host's:
nothing has been issued that could end it. A call of no real operation, beginning right there, says
so to `analysis.idle.causes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.hardware.latencies import (
    CUPTI_COPY_NS,
    CUPTI_KERNEL_NS,
    UNPROFILED_GRAPH_LAUNCH_NS,
)
from idlescope.trace.model import (
    Calls,
    Counters,
    Device,
    OperationKind,
    Operations,
    RangeKind,
    Ranges,
    Thread,
    Trace,
)
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64
from idlescope.watching.rows import (
    COLLECTION,
    NO_DEMAND,
    OVERHEAD,
    PHASE_FIELDS,
    Columns,
    joined,
)

OPERATION_FIELDS = (
    "launch",
    "stream",
    "kind",
    "name",
    "start",
    "end",
    "communication",
    "call_start",  # of the API call that issued it; 0: not known by itself
    "call_end",
    "step",
)
KINDS = {
    COLLECTION: RangeKind.GARBAGE_COLLECTION,
    NO_DEMAND: RangeKind.NO_DEMAND,
    OVERHEAD: RangeKind.OVERHEAD,
}


@dataclass(frozen=True)
class Stretch:
    """All rows that touch [low, high); times are ns of perf_counter."""

    low: int
    high: int
    names: tuple[str, ...]  # of calls and phases
    device: Device
    operations: Columns  # OPERATION_FIELDS, in any order
    calls: Columns
    phases: Columns
    empty_steps: Intervals  # of steps that scheduled no token

    def no_demand(self) -> Intervals:
        """Return when there was no request, as disjoint intervals."""
        idle = self.phases["name"] == NO_DEMAND
        start = np.concatenate((self.phases["start"][idle], self.empty_steps.start))
        end = np.concatenate((self.phases["end"][idle], self.empty_steps.end))
        return intervals.union(start, end)

    def communication(self) -> int:
        """Return how long data moved between devices, ns."""
        moves = self.operations["communication"] > 0
        start, end = self.operations["start"][moves], self.operations["end"][moves]
        return intervals.clip(intervals.union(start, end), self.low, self.high).measure

    def lengthened(self) -> Intervals:
        """Return when calls that launch took longer than they do without CUPTI.

        Only CUPTI's own records tell of single calls.
        """
        known = self.operations["call_start"] > 0
        kind = self.operations["kind"][known]
        start = self.operations["call_start"][known]
        end = self.operations["call_end"][known]
        added_ns = np.where(kind == OperationKind.KERNEL, CUPTI_KERNEL_NS, CUPTI_COPY_NS)
        usual_end = np.where(
            kind == OperationKind.GRAPH,
            start + UNPROFILED_GRAPH_LAUNCH_NS,
            np.maximum(end - added_ns, start),
        )
        return intervals.union(usual_end, end)

    def view(self) -> DeviceView:
        """Return what the analysis of a device starts from."""
        operations = _in_order(self.operations)
        calls, row_of_launch = _with_own_calls(self.calls, operations)
        calls, operations, row_of_launch = self._with_end(calls, operations, row_of_launch)
        trace = Trace(
            operations=operation_table(operations),
            calls=_call_table(calls),
            ranges=_range_table(
                joined((self.phases, launch_spans(self.calls, operations)))
            ),
            counters=Counters.empty(),
            names=self.names,
            devices=(self.device,),
            streams=("",),
            threads=(Thread(self.device.process, "loop"),),
        )
        count = len(trace.operations)
        return DeviceView(
            trace=trace,
            device=self.device,
            operations=trace.operations,
            launches=row_of_launch,
            waits=np.asarray(calls["launch"] == 0, np.bool_),
            blocking_copies=np.empty(0, np.int64),
            names=phase_names(self.names),
            collective=np.zeros(count, np.int64),
            process_group=np.full(count, -1, np.int64),
        )

    def _with_end(
        self, calls: Columns, operations: Columns, row_of_launch: Int64
    ) -> tuple[Columns, Columns, Int64]:
        """Return the rows with a call and its operation that begin where the stretch ends."""
        place = int(np.searchsorted(operations["start"], self.high, "right"))
        times = {"start": self.high, "end": self.high + 1}
        end_row = dict.fromkeys(operations, -1) | times
        end_row |= {"kind": OperationKind.KERNEL.value, "stream": 0, "communication": 0}
        end_call = dict.fromkeys(calls, -1) | times | {"name": 0}
        call_count = calls["start"].size
        return (
            _with_row(calls, call_count, end_call),
            _with_row(operations, place, end_row),
            _inserted(row_of_launch, place, call_count),
        )


def _with_row(columns: Columns, place: int, row: Mapping[str, int]) -> Columns:
    """Return columns with one row more."""
    return {name: _inserted(column, place, row[name]) for name, column in columns.items()}


def _inserted(column: Int64, place: int, value: int) -> Int64:
    """Return what `np.insert` does, which takes ten times as long where columns are short."""
    return np.concatenate((column[:place], [value], column[place:]))


def launch_spans(calls: Columns, operations: Columns) -> Columns:
    """Return the loop's launch calls as phases, where operations have calls of their own.

    What the host does within them before it issues anything is theirs.
    """
    spans = (calls["launch"] > 0) & bool((operations["call_start"] > 0).any())
    return {name: calls[name][spans] for name in PHASE_FIELDS}


def _with_own_calls(calls: Columns, operations: Columns) -> tuple[Columns, Int64]:
    """Return the calls with those that are known of single operations, and the row of each."""
    row_of_launch = launching_call(calls, operations["launch"])
    own = np.flatnonzero(operations["call_start"] > 0)
    row_of_launch[own] = calls["start"].size + np.arange(own.size)
    own_calls = {
        "name": np.zeros(own.size, np.int64),
        "step": operations["step"][own],
        "start": operations["call_start"][own],
        "end": operations["call_end"][own],
        "launch": np.full(own.size, -1),
    }
    return joined((calls, own_calls)), row_of_launch


def launching_call(calls: Columns, launches: Int64) -> Int64:
    """Return the row of the call of each launch number; -1: not there."""
    order = np.argsort(calls["launch"], kind="stable")
    numbers = calls["launch"][order]
    place = np.searchsorted(numbers, launches)
    found = (place < numbers.size) & (launches > 0)
    found[found] = numbers[place[found]] == launches[found]
    row = np.full(launches.size, -1, np.int64)
    row[found] = order[place[found]]
    return row


def phase_names(names: tuple[str, ...]) -> SpanNames:
    """Return what the names of a watch mean: each phase is one of its own name."""
    return SpanNames("", np.arange(len(names), dtype=np.int32), names)


def _in_order(operations: Columns) -> Columns:
    order = np.lexsort((operations["end"], operations["start"]))
    return {name: column[order] for name, column in operations.items()}


def operation_table(operations: Columns) -> Operations:
    """Return operations as a table of when and what they are; their launch is the correlation."""
    none = np.zeros(operations["start"].size)
    return Operations.of(
        start=operations["start"],
        end=operations["end"],
        kind=operations["kind"],
        device=none,
        stream=none,
        name=none,
        correlation=operations["launch"],
        step=operations["step"],
        bytes=none,
        flops=none,
    )


def _call_table(calls: Columns) -> Calls:
    none = np.zeros(calls["start"].size)
    return Calls.of(
        start=calls["start"],
        end=calls["end"],
        thread=none,
        name=calls["name"],
        correlation=none,
    )


def _range_table(phases: Columns) -> Ranges:
    return Ranges.of(
        start=phases["start"],
        end=phases["end"],
        thread=np.zeros(phases["start"].size),
        name=phases["name"],
        kind=range_kinds(phases["name"]),
        step=np.full(phases["start"].size, -1),
    )


def range_kinds(names: Int64) -> Int64:
    """Return the RangeKind of rows of phases, by the codes of their names."""
    kinds = np.full(names.size, RangeKind.ANNOTATION, np.int64)
    for code, kind in KINDS.items():
        kinds[names == code] = kind
    return kinds


def touches(columns: Columns, low: int) -> Bool:
    """Return which rows last beyond a time."""
    return np.asarray(columns["end"] > low, np.bool_)
