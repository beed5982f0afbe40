"""What each step cost: host, device and exposed idle time, and whether it was launched early."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from msgspec import Struct, structs

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups, by_key, by_value
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.intervals import AFTER_EVERYTHING, BEFORE_EVERYTHING, Intervals
from idlescope.analysis.steps.find import GRAPH_LAUNCHES, Division
from idlescope.analysis.steps.process_waits import process_waits
from idlescope.analysis.steps.rank_waits import rank_waits
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Operations, RangeKind, Ranges, Trace
from idlescope.trace.names.calls import GRAPH_LAUNCH, matching
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Bool, Int64

# This share of a step's time on the device may be launched before the step counts as launched.
PREPARATION = 0.05


class Steps(Struct, frozen=True):
    """One row per step, in order. Times in nanoseconds."""

    found: str  # how: one of those that `find` names, or "<engine> spans"
    number: Int64
    start: Int64  # first host work for the step
    end: Int64  # last host work for the step
    # time the host worked for the step, not counting calls that wait for the device, nor spans and
    # frames in which it waits for other ranks, processes or requests
    host: Int64
    device: Int64  # union of the step's operations
    idle: Int64  # gaps ended by an operation of the step: the idle time that it exposed
    early: Bool  # launched before the previous step ended: real asynchrony; False for the first
    operations: Int64  # how many ran for it
    launched: Int64  # start of its first launch call that matters; AFTER_EVERYTHING: none is known
    done: Int64  # end of its last operation on the device; BEFORE_EVERYTHING: there is none
    kind: Int64  # code of its StepKind
    # end of its last kernel or graph, of its last operation where it has none: copies that nothing
    # waits for, such as those that offload its KV cache, may run on
    computed: Int64

    def __len__(self) -> int:
        return len(self.number)

    @property
    def has_launch(self) -> Bool:
        """Return for which steps it is known when they were launched."""
        return np.asarray(self.launched < AFTER_EVERYTHING, np.bool_)

    def within(self, low: int, high: int) -> Steps:
        """Return the steps that worked on the host or the device in [low, high)."""
        first = np.minimum(self.start, self.launched)
        last = np.maximum(self.end, self.done)
        return self.take(np.asarray((first < high) & (last > low), np.bool_))

    def take(self, rows: Bool) -> Steps:
        """Return some of the steps."""
        columns = [column[rows] for column in structs.astuple(self)[1:]]
        return Steps(self.found, *columns)


class Blocked(NamedTuple):
    """How some host ranges waited for the device, other ranks, processes or requests, in ns."""

    length: Int64  # in each range
    last_end: Int64  # of the last wait in each range; 0: there is none


def measure(view: DeviceView, division: Division, gaps: Gaps) -> Steps:
    """Return the figures of each step; `gaps` are those of the window that is looked at."""
    host, operations = division.host, view.operations
    number, by_step = by_value(host.step)
    for_others = waits_for_others(view.trace, view.names)
    waited = blocked(view.trace, _of_waiting_thread(view, host), view.waits, for_others)
    worked = host.end - host.start - waited.length

    step_of_operation, known = by_key(number, division.step)
    of_steps = operations.take(known)
    done = step_of_operation.last(of_steps.end)
    launched = _launched(view, division, step_of_operation, known)
    early = np.zeros(number.size, np.bool_)
    computed = _computed(step_of_operation, of_steps, done)
    early[1:] = launched[1:] < computed[:-1]
    return Steps(
        found=division.found,
        number=number,
        start=by_step.first(host.start),
        end=by_step.last(host.end, none=0),
        host=by_step.total(worked),
        device=step_of_operation.covered(of_steps.start, of_steps.end),
        idle=_exposed_idle(number, division.step, gaps),
        early=early,
        operations=step_of_operation.sizes(),
        launched=launched,
        done=done,
        kind=by_step.last(division.kind, none=StepKind.UNKNOWN.code),
        computed=computed,
    )


def _computed(steps: Groups, operations: Operations, done: Int64) -> Int64:
    """Return when the last compute of each step ended; `done` is when its last operation did."""
    compute = is_compute(operations)
    ended = steps.only(compute).last(operations.end[compute])
    return np.where(ended > BEFORE_EVERYTHING, ended, done)


def _of_waiting_thread(view: DeviceView, host: Ranges) -> Ranges:
    """Return the ranges of steps with the thread whose waits for the device are theirs.

    Where one thread schedules and another launches and waits, the first waits for the second.
    """
    own_waits = view.waits & np.isin(view.trace.calls.thread, distinct(host.thread))
    if view.launching_thread < 0 or own_waits.any():
        return host
    return host.replace(thread=np.full(len(host), view.launching_thread))


def _exposed_idle(number: Int64, step: Int64, gaps: Gaps) -> Int64:
    """Return the length of the gaps that each step's operations ended."""
    ended = gaps.operation >= 0
    step_of_gap, known = by_key(number, step[gaps.operation[ended]])
    return step_of_gap.total(gaps.length[ended][known])


def _launched(view: DeviceView, division: Division, steps: Groups, known: Bool) -> Int64:
    """Return when each step was launched; `steps` are those of the `known` operations.

    The first few launches may be preparation, such as the check of a flag, and do not say that the
    forward pass was launched. A step counts as launched when, in the order of launches, a share of
    its kernels' time had been. A step without kernels goes by its copies. One that is known by its
    graph goes by that: the first launches may be of the step before, such as its sampling.
    """
    linked = view.launches[known] >= 0
    steps = steps.only(linked)
    rows = np.flatnonzero(known)[linked]
    issued = view.trace.calls.start[view.launches[rows]]

    compute = is_compute(view.operations)[rows]
    with_kernels = steps.only(compute).occupied()
    counts = compute | ~with_kernels[steps.row]
    if division.found == GRAPH_LAUNCHES:
        graph_calls = matching(GRAPH_LAUNCH, view.trace.names)[view.trace.calls.name]
        in_graph = graph_calls[view.launches[rows]]
        counts &= in_graph | ~steps.only(in_graph).occupied()[steps.row]
    counting = np.flatnonzero(counts)
    counting = counting[np.lexsort((issued[counting], steps.row[counting]))]
    return _first_that_matters(
        Groups(steps.row[counting], steps.count),
        _lengths(view.operations, rows[counting]),
        issued[counting],
    )


def _lengths(operations: Operations, rows: Int64) -> Int64:
    return operations.end[rows] - operations.start[rows]


def _first_that_matters(steps: Groups, length: Int64, issued: Int64) -> Int64:
    """Return the first launch of each step with which a share of its time has been launched.

    `length` is that of each operation, by step, then by launch.
    """
    total = steps.total(length)
    of_steps_before = np.cumsum(total) - total
    launched_so_far = np.cumsum(length) - of_steps_before[steps.row]
    matters = launched_so_far >= PREPARATION * total[steps.row]
    return steps.only(matters).first(issued[matters])


def waits_for_others(trace: Trace, names: SpanNames) -> Ranges:
    """Return the spans and frames of a trace in which a thread waits for others than its device.

    That are other ranks, other processes, and requests.
    """
    for_requests = trace.ranges.take(trace.ranges.kind == RangeKind.NO_DEMAND)
    waits = (rank_waits(trace, names), process_waits(trace), for_requests)
    some = [ranges for ranges in waits if len(ranges)]
    return Ranges.joined(some) if some else Ranges.empty()


def blocked(trace: Trace, host: Ranges, waits: Bool, for_others: Ranges) -> Blocked:
    """Return how long each host range waited, and when the last wait in it ended.

    `waits` says of each row of `trace.calls` whether it waits for the device; `for_others` is as
    `waits_for_others` has it.
    """
    length = np.zeros(len(host), np.int64)
    last_end = np.zeros(len(host), np.int64)
    calls = trace.calls
    for thread in distinct(host.thread):
        rows = np.flatnonzero(host.thread == thread)
        rows = rows[np.argsort(host.start[rows], kind="stable")]
        in_call = waits & (calls.thread == thread)
        in_span = for_others.thread == thread
        waiting = intervals.union(
            np.concatenate((calls.start[in_call], for_others.start[in_span])),
            np.concatenate((calls.end[in_call], for_others.end[in_span])),
        )
        shared = intervals.overlaps(Intervals(host.start[rows], host.end[rows]), waiting)
        by_range = Groups(rows[shared.left], len(host))
        length += by_range.total(shared.end - shared.start)
        last_of_thread = by_range.last(shared.end, none=0)
        last_end = np.maximum(last_end, last_of_thread)
    return Blocked(length, last_end)
