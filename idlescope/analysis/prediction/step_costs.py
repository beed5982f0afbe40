"""What each step of a trace costs the host and the device, apart from waiting: what a replay puts together anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle import occupancy
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED
from idlescope.analysis.steps.find import RECORDED
from idlescope.analysis.steps.measure import union_by
from idlescope.analysis.verdict.verdict import CANNOT_TELL
from idlescope.errors import ConfigError, TraceError
from idlescope.trace.model import OperationKind, RangeKind, Ranges, Trace
from idlescope.trace.names.calls import GRAPH_LAUNCH, matching, synchronising
from idlescope.trace.names.engines import IDLE, PROFILER_STEP, STEP, recognise
from idlescope.trace.table import Bool, Int64

FEWEST = 3  # steps that can be replayed
WHOLE_PCT = 80.0  # of the steps must have a compute operation with a known launch
QUEUED_NS = 20_000  # more than the launch of a kernel takes to arrive
PHASES_NAMED = 12  # in a message
SMALL = 0.01  # of a step's time: a phase that costs less is not worth naming
HOST = ("lead", "issue", "rest", "after")  # the columns that are host work, in the order of a step
AFTER_EVERYTHING = np.iinfo(np.int64).max
BEFORE_EVERYTHING = np.iinfo(np.int64).min


@dataclass(frozen=True)
class StepCosts:
    """One row a step, in order; nanoseconds. Waiting for the device is in none of them."""

    lead: Int64  # host work up to the end of the step's first compute launch
    issue: (
        Int64  # host work from there to the end of its last compute launch; 0 where it is one graph
    )
    rest: Int64  # host work after that which needs no token of the step: copies out, events
    after: Int64  # host work once its tokens are there
    latency: Int64  # from the end of the first launch to the start of compute, the device being free; may be negative
    copies: Int64  # of the latency: copies that compute waits for; those of two steps run one after the other
    compute: (
        Int64  # of the device: kernels, and the gaps between them that are not the host's doing
    )
    finish: Int64  # from the end of the last compute launch to the end of compute, at least
    tail: Int64  # from the end of compute until the tokens are on the host and it has woken up
    kernels: Int64  # when compute operations ran: `compute` without gaps

    def __len__(self) -> int:
        return len(self.lead)

    @property
    def host(self) -> Int64:
        """Return all host work of each step."""
        return np.asarray(sum(getattr(self, name) for name in HOST), np.int64)


@dataclass(frozen=True)
class Measured:
    """The steps of one device that can be replayed, in order, and what of the host's time is whose."""

    trace: Trace
    result: MeasuredDevice
    thread: int  # the one that launches
    pieces: Intervals  # of the host's time, disjoint and in order
    row: Int64  # step of each piece
    first: Int64  # end of each step's first compute launch
    last: Int64  # end of its last compute launch
    start: Int64  # of its compute
    end: Int64
    whole: Bool  # which steps have a launch and compute
    lag: int  # steps between what a piece launches and what it then waits for

    @property
    def begin(self) -> int:
        """Return when the first step begins."""
        return int(self.pieces.start[0])

    @property
    def total_ns(self) -> int:
        """Return the time from the start of the first step's host work to the end of the last one's."""
        return int(self.pieces.end[-1]) - self.begin

    @property
    def step_ns(self) -> float:
        """Return the time from one step to the next on the device."""
        end = self.end[self.whole]
        return float(end[-1] - end[0]) / (end.size - 1)

    @cached_property
    def costs(self) -> StepCosts:
        """Return the costs of the steps."""
        operations, n, w = self.result.operations, self.whole.size, self.whole
        row, computing = _rows(self.result, n)
        kernels = union_by(
            row[computing], operations.start[computing], operations.end[computing], n
        )
        start, end, first, last = (
            np.where(w, v, 0) for v in (self.start, self.end, self.first, self.last)
        )
        compute = np.clip(end - start - self._gaps_of_the_host(start, end, n), kernels, None)
        latency, finish = start - first, end - last
        before = np.concatenate(([BEFORE_EVERYTHING], np.maximum.accumulate(end)[:-1]))
        queued = (
            first + QUEUED_NS < before
        )  # launched while the one before it ran: its own latency does not show
        queued[0] = np.median(queued[1:]) > 0  # the one before it is not in the trace
        usual = int(np.median(latency[w & ~queued])) if (w & ~queued).any() else 0
        latency[queued] = usual
        finish[queued] = np.minimum(finish, usual + compute)[queued]
        copying = np.flatnonzero((operations.kind == OperationKind.MEMCPY) & (row >= 0))
        copying = copying[operations.end[copying] <= start[row[copying]]]
        copies = union_by(row[copying], operations.start[copying], operations.end[copying], n)
        device = {
            "latency": latency, "copies": np.clip(copies, 0, np.maximum(latency, 0)), "compute": compute,
            "finish": finish, "tail": self._tail(end), "kernels": kernels,
        }  # fmt: skip
        return StepCosts(**self.host(), **{name: values[w] for name, values in device.items()})

    def host(self, only: Intervals | None = None) -> dict[str, Int64]:
        """Return the host columns of the costs, all of it or what lies in disjoint intervals."""
        work, row = self._working
        if only is not None:
            shared = intervals.overlaps(work, only)
            work, row = shared.intervals, row[shared.left]
        n = self.whole.size
        ends = (
            np.full(n, BEFORE_EVERYTHING),
            self.first,
            self.last,
            self._retrieved,
            np.full(n, AFTER_EVERYTHING),
        )
        columns = {}
        for name, low, high in zip(HOST, ends[:-1], ends[1:], strict=True):
            length = np.minimum(work.end, high[row]) - np.maximum(work.start, low[row])
            columns[name] = np.zeros(n, np.int64)
            np.add.at(columns[name], row, np.clip(length, 0, None))
        if (
            self.lag
        ):  # what a span holds after its wait is of the step before, whose tokens it waited for
            after = columns["after"]
            columns["after"] = np.append(after[1:], np.int64(np.median(after)))
        return {name: values[self.whole] for name, values in columns.items()}

    def phase(self, name: str) -> dict[str, Int64]:
        """Return the host columns of one named phase, span or range. Raises ConfigError where there is none."""
        ranges, labels = self._labelled
        named = np.array(
            [name in both for both in zip(labels, self.trace.names, strict=True)], np.bool_
        )
        rows = np.flatnonzero(named[ranges.name])
        if not rows.size:
            there = ", ".join(sorted(set(labels) - {""})[:PHASES_NAMED])
            raise ConfigError(
                f"no phase, span or range of the launching thread is called {name!r}: it has {there or 'none'}"
            )
        return self.host(intervals.union(ranges.start[rows], ranges.end[rows]))

    def largest_phase(self) -> str | None:
        """Return the phase or span that costs the host most; None where none is known or they hardly cost anything."""
        there = set(self._labelled[1]) - {"", STEP, IDLE}
        cost = {
            name: sum(int(v.sum()) for v in self.phase(name).values()) for name in sorted(there)
        }
        largest = max(cost, key=lambda name: cost[name], default=None)
        return (
            largest if largest and cost[largest] > SMALL * self.step_ns * self.whole.sum() else None
        )

    def pinned(self) -> dict[str, Int64]:
        """Return the host columns of copies that block because their memory is not pinned."""
        call, begun = self._copying
        return self.host(intervals.union(begun, self.trace.calls.end[call]))

    @cached_property
    def eager(self) -> Bool:
        """Return which steps launch most of their kernels' time one by one, not as a graph."""
        row, computing = _rows(self.result, self.whole.size)
        graph = matching(GRAPH_LAUNCH, self.trace.names)
        operations, calls = self.result.operations, self.trace.calls
        length = (operations.end - operations.start)[computing]
        in_graph = graph[calls.name[self.result.launches[computing]]]
        in_graph |= operations.kind[computing] == OperationKind.GRAPH
        total, graphed = (
            np.bincount(row[computing], w, self.whole.size) for w in (length, length * in_graph)
        )
        return np.asarray(2 * graphed < total, np.bool_)[self.whole]

    @cached_property
    def _labelled(self) -> tuple[Ranges, list[str]]:
        """Return the ranges of the launching thread, and for each name of the trace the phase or else span it is of."""
        ranges, names = self.trace.ranges, self.trace.names
        ranges = ranges.take((ranges.thread == self.thread) & (ranges.kind <= RangeKind.FRAME))
        used = np.unique(ranges.name[ranges.kind == RangeKind.ANNOTATION]).tolist()
        known = recognise(names, used)
        labels = [""] * len(names)
        for i in used:
            code = int(known.phase[i])
            labels[i] = (
                known.labels[code]
                if code >= 0
                else ""
                if PROFILER_STEP.match(names[i])
                else names[i]
            )
        return ranges, labels

    @cached_property
    def _waits(self) -> Int64:
        """Return the calls in which the host waits for a step: those that begin while one that was launched computes.

        Other waits are the host's own cost.
        """
        calls = self.trace.calls
        waits = np.flatnonzero(self.result.waits & (calls.thread == self.thread))
        launched = np.maximum.accumulate(self.last)
        at = np.searchsorted(launched, calls.start[waits], "right") - 1
        done = np.maximum.accumulate(self.end)[np.maximum(at, 0)]
        return waits[(at < 0) | (done > calls.start[waits])]

    @cached_property
    def _waiting(self) -> Intervals:
        """Return when the host waits for a step. A copy of memory that is not pinned is work from when it runs."""
        calls, waits = self.trace.calls, self._waits
        copying, begun = self._copying
        end = calls.end[waits].copy()
        if copying.size:
            at = np.minimum(np.searchsorted(copying, waits), copying.size - 1)
            is_copy = copying[at] == waits
            end[is_copy] = np.minimum(end[is_copy], begun[at[is_copy]])
        return intervals.union(calls.start[waits], end)

    @cached_property
    def _copying(self) -> tuple[Int64, Int64]:
        """Return the calls before their step's launch in which memory that is not pinned is copied, and since when."""
        calls, operations, launches = self.trace.calls, self.result.operations, self.result.launches
        copies = np.flatnonzero((operations.kind == OperationKind.MEMCPY) & (launches >= 0))
        copies = copies[self.result.waits[launches[copies]]]
        silent = ~synchronising(self.trace.names)[calls.name[launches[copies]]]
        call, start = launches[copies[silent]], operations.start[copies[silent]]
        order = np.argsort(call, kind="stable")
        call, start = call[order], start[order]
        piece = np.searchsorted(self.pieces.start, calls.start[call], "right") - 1
        before = (piece >= 0) & (calls.start[call] < self.last[self.row[piece]])
        return call[before], start[before]

    @cached_property
    def _working(self) -> tuple[Intervals, Int64]:
        """Return when the host works, and for which step."""
        low, high = self.begin, int(self.pieces.end[-1])
        shared = intervals.overlaps(
            self.pieces, intervals.gaps(intervals.clip(self._waiting, low, high), low, high)
        )
        return shared.intervals, self.row[shared.left]

    @cached_property
    def _retrieved(self) -> Int64:
        """Return the end of the host's last wait after each step's last launch; that launch's where there is none."""
        calls, waits, last = self.trace.calls, self._waits, self.last
        piece = np.searchsorted(self.pieces.start, calls.start[waits], "right") - 1
        inside = (piece >= 0) & (calls.end[waits] > last[self.row[piece]])
        retrieved = last.copy()
        np.maximum.at(retrieved, self.row[piece[inside]], calls.end[waits[inside]])
        return retrieved

    def _tail(self, end: Int64) -> Int64:
        """Return from the end of compute to the host's waking; what is usual where the host came later than that."""
        retrieved = self._retrieved
        waits = retrieved > self.last
        if self.lag:
            retrieved, waits = (
                np.append(retrieved[1:], BEFORE_EVERYTHING),
                np.append(waits[1:], False),
            )
        caught = waits & (retrieved >= end)  # it was waiting when compute ended
        if self._waiting.end.size:
            at = np.minimum(
                np.searchsorted(self._waiting.end, retrieved), self._waiting.end.size - 1
            )
            caught &= self._waiting.start[at] <= end
        if not caught.any():
            return np.zeros(end.size, np.int64)
        return np.where(caught, retrieved - end, int(np.median((retrieved - end)[caught])))

    def _gaps_of_the_host(self, start: Int64, end: Int64, n: int) -> Int64:
        """Return the idle time within each step's compute that is there because its launches came late."""
        gaps = self.result.gaps
        row = _row_of(
            self.result.steps.number,
            np.where(gaps.operation >= 0, self.result.step[gaps.operation], -1),
        )
        inside = row >= 0
        inside[inside] = (gaps.start[inside] >= start[row[inside]]) & (
            gaps.end[inside] <= end[row[inside]]
        )
        late = np.zeros(n, np.int64)
        np.add.at(late, row[inside], (gaps.host + gaps.launch)[inside])
        return late


def measure(trace: Trace, result: MeasuredDevice) -> Measured:
    """Return the steps of a device with what is needed to replay them. Raises TraceError where that cannot be told."""
    steps, n = result.steps, len(result.steps)
    which = f"cannot tell what device {result.device.index} would do"
    if (
        result.verdict.kind == CANNOT_TELL and steps.found != RECORDED
    ):  # our own step clock loses nothing
        raise TraceError(f"{which}: {result.verdict.text}")
    if n < FEWEST:
        how = (
            "no steps are known"
            if not n
            else f"only {n} step{'s are' if n > 1 else ' is'} in the trace"
        )
        raise TraceError(
            f"{which}: {how}, and a replay needs {FEWEST}; record some more, with a range around each"
        )
    row, computing = _rows(result, n)
    made, operations = result.launches[computing], result.operations
    first, last = np.full(n, AFTER_EVERYTHING), np.full(n, BEFORE_EVERYTHING)
    np.minimum.at(first, row[computing], trace.calls.end[made])
    np.maximum.at(last, row[computing], trace.calls.end[made])
    start, end = np.full(n, AFTER_EVERYTHING), np.full(n, BEFORE_EVERYTHING)
    np.minimum.at(start, row[computing], operations.start[computing])
    np.maximum.at(end, row[computing], operations.end[computing])
    whole = last > BEFORE_EVERYTHING
    if 100 * int(whole.sum()) < WHOLE_PCT * n or int(whole.sum()) < FEWEST:
        raise TraceError(
            f"{which}: {n - int(whole.sum())} of {n} steps have no compute with a known launch"
        )
    if np.diff(end[whole]).min() < 0 or np.ptp(end[whole]) == 0:
        raise TraceError(
            f"{which}: steps end on the device in another order than the host began them in"
        )
    thread = int(np.bincount(trace.calls.thread[made]).argmax())
    pieces, of = _pieces(trace, result)
    lag = int(steps.found != RECORDED and result.batching.kind in (ASYNCHRONOUS, SERIALISED))
    return Measured(trace, result, thread, pieces, of, first, last, start, end, whole, lag)


def _row_of(number: Int64, step: Int64) -> Int64:
    """Return the row of each step number, -1 where it is not there."""
    at = np.minimum(np.searchsorted(number, step), number.size - 1)
    return np.where(number[at] == step, at, -1)


def _rows(result: MeasuredDevice, n: int) -> tuple[Int64, Int64]:
    """Return the row of each operation's step, and which operations are compute with a known launch in some step."""
    row = _row_of(result.steps.number, result.step)
    return row, np.flatnonzero(
        occupancy.is_compute(result.operations) & (row >= 0) & (result.launches >= 0)
    )


def _pieces(trace: Trace, result: MeasuredDevice) -> tuple[Intervals, Int64]:
    """Return the host's time in pieces, and the row of each one's step; what lies between two is work for the later."""
    steps = result.steps
    if steps.found == RECORDED:
        rows = np.flatnonzero(trace.ranges.step >= 0)
        rows = rows[trace.threads_of(result.device.process)[trace.ranges.thread[rows]]]
        row = _row_of(steps.number, trace.ranges.step[rows].astype(np.int64))
        start, end, row = (
            trace.ranges.start[rows][row >= 0],
            trace.ranges.end[rows][row >= 0],
            row[row >= 0],
        )
    else:
        start, end, row = steps.start, steps.end, np.arange(len(steps))
    order = np.argsort(start, kind="stable")
    start, end, row = start[order], np.maximum.accumulate(end[order]), row[order]
    return Intervals(np.concatenate((start[:1], end[:-1])), end), row
