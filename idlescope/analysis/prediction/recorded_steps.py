"""The steps of one device that can be replayed: when each was launched, and when it computed."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from msgspec import Struct

from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.idle.of_steps import beside
from idlescope.analysis.intervals import BEFORE_EVERYTHING, Intervals
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.batching import ASYNCHRONOUS, SERIALISED
from idlescope.analysis.steps.find import RECORDED
from idlescope.analysis.steps.window import Window
from idlescope.analysis.verdict.demand import recorder_was_off
from idlescope.analysis.verdict.findings import CANNOT_TELL
from idlescope.analysis.view import most_common_thread
from idlescope.errors import TraceError
from idlescope.trace.model import Trace
from idlescope.trace.table import Bool, Int64

FEWEST_STEPS = 3  # that can be replayed
WHOLE_PCT = 80.0  # of the steps must have a compute operation with a known launch
# A first or last step with less than this share of the usual operations is cut off.
MOSTLY_THERE = 0.9


class StepTimes(Struct, frozen=True):
    """When steps were launched and computed: one row per step, in ns."""

    first_launch: (
        Int64  # end of the first compute launch; AFTER_EVERYTHING where none is known
    )
    last_launch: (
        Int64  # end of the last compute launch; BEFORE_EVERYTHING where none is known
    )
    compute_start: Int64
    compute_end: Int64

    @property
    def whole(self) -> Bool:
        """Return which steps have compute with a known launch."""
        return np.asarray(self.last_launch > BEFORE_EVERYTHING, np.bool_)


class RecordedSteps(Struct, frozen=True, dict=True):
    """The steps of one device, in order, and which of the host's time belongs to each."""

    trace: Trace
    result: MeasuredDevice
    thread: int  # the thread that launches, as an index into trace.threads
    pieces: Intervals  # of the host's time, disjoint and in order
    piece_step: Int64  # row of each piece's step
    operation_step: Int64  # row of each operation's step; -1: of none
    computing: Int64  # operations that are compute of a step, with a known launch
    times: StepTimes
    whole: Bool  # which steps can be replayed
    lag: int  # steps between what a piece launches and what it then waits for

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def begin(self) -> int:
        """Return when the first step's host work begins, in ns."""
        return int(self.pieces.start[0])

    @property
    def end(self) -> int:
        """Return when the last step's host work ends, in ns."""
        return int(self.pieces.end[-1])

    @property
    def total_ns(self) -> int:
        """Return the time from the start of the first step's host work to the last one's end."""
        return self.end - self.begin

    @property
    def step_ns(self) -> float:
        """Return the mean time from the end of one step to that of the next on the device."""
        ran = np.flatnonzero(self.times.whole)
        lasted = np.diff(self.times.compute_end[ran])
        return float(lasted[self.whole[ran[1:]]].mean())

    @cached_property
    def eager(self) -> Bool:
        """Return which steps launch most of their kernels' time one by one, not as a graph."""
        operations = self.result.operations.take(self.computing)
        step = self.operation_step[self.computing]
        in_graph = self.result.view.in_graph[self.computing]

        length = operations.end - operations.start
        steps = len(self)
        total_ns = np.bincount(step, length, steps)
        graph_ns = np.bincount(step, length * in_graph, steps)
        mostly_eager = np.asarray(2 * graph_ns < total_ns, np.bool_)
        return mostly_eager[self.whole]


def recorded_steps(trace: Trace, result: MeasuredDevice) -> RecordedSteps:
    """Return the steps of a device with what is needed to replay them.

    Raises TraceError where the trace cannot tell: it lost records, holds too few steps or too few
    whose compute has a known launch, or its steps end in another order than they began in.
    """
    cannot_tell = f"cannot tell what device {result.device.index} would do"
    _refuse_unknown(result, cannot_tell)
    operation_step = step_rows(result.steps.number, result.step)
    in_step = (operation_step >= 0) & (result.launches >= 0)
    computing = np.flatnonzero(is_compute(result.operations) & in_step)
    times = _times(trace, result, operation_step, computing)
    whole = times.whole
    _refuse_disordered(times, cannot_tell)
    whole = whole & ~_cut_off(result) & _inside(times, result.window)
    overlapping = result.batching.kind in (ASYNCHRONOUS, SERIALISED)
    lag = int(overlapping and result.steps.found != RECORDED)
    between_pauses = whole & ~_beside_pauses(result, lag)
    if between_pauses.sum() < FEWEST_STEPS:
        alone = ", with neither a pause nor a lack of requests beside them"
        beside_some = alone if whole.sum() >= FEWEST_STEPS else ""
        raise TraceError(
            f"{cannot_tell}: too few steps are in the trace as a whole{beside_some}, and a replay "
            f"needs {FEWEST_STEPS}; record some more"
        )
    whole = between_pauses
    pieces, piece_step = _pieces(trace, result)
    launch_call = result.launches[computing]
    return RecordedSteps(
        trace=trace,
        result=result,
        thread=most_common_thread(trace, trace.calls.thread[launch_call]),
        pieces=pieces,
        piece_step=piece_step,
        operation_step=operation_step,
        computing=computing,
        times=times,
        whole=whole,
        lag=lag,
    )


def step_rows(numbers: Int64, step: Int64) -> Int64:
    """Return the row of each step number among `numbers` (ascending); -1 where it is not there."""
    row = np.minimum(np.searchsorted(numbers, step), numbers.size - 1)
    return np.where(numbers[row] == step, row, -1)


def _refuse_unknown(result: MeasuredDevice, cannot_tell: str) -> None:
    # our own step clock loses nothing, whatever the verdict
    if result.verdict.kind == CANNOT_TELL and result.steps.found != RECORDED:
        raise TraceError(f"{cannot_tell}: {result.verdict.text}")
    if recorder_was_off(result.spread, result.steps):
        pause_s = result.spread.longest_pause_ns / 1e9
        raise TraceError(
            f"{cannot_tell}: nothing was recorded for {pause_s:.3g} s between its steps; look at "
            "one part alone"
        )
    count = len(result.steps)
    if count < FEWEST_STEPS:
        seen = "no steps are known"
        if count:
            seen = f"only {count} step{'s are' if count > 1 else ' is'} in the trace"
        raise TraceError(
            f"{cannot_tell}: {seen}, and a replay needs {FEWEST_STEPS}; record some more, "
            "with a range around each"
        )


def _refuse_disordered(times: StepTimes, cannot_tell: str) -> None:
    count = times.whole.size
    whole = int(times.whole.sum())
    if 100 * whole < WHOLE_PCT * count or whole < FEWEST_STEPS:
        raise TraceError(
            f"{cannot_tell}: {count - whole} of {count} steps have no compute with a known launch"
        )
    compute_end = times.compute_end[times.whole]
    disordered = np.diff(compute_end).min() < 0
    all_at_once = np.ptp(compute_end) == 0
    if disordered or all_at_once:
        raise TraceError(
            f"{cannot_tell}: steps end on the device in another order than the host began them in"
        )


def _inside(times: StepTimes, window: Window) -> Bool:
    """Return which steps compute within a window; the host works there for others, too."""
    began, ended = times.compute_start >= window.start, times.compute_end <= window.end
    return np.asarray(began & ended, np.bool_)


def _cut_off(result: MeasuredDevice) -> Bool:
    """Return which steps, the first or the last that ran, an end of the recording cut off."""
    steps = result.steps
    cut_off = np.zeros(len(steps), np.bool_)
    ran = np.flatnonzero(steps.operations)
    if steps.found == RECORDED or not ran.size:
        return cut_off
    inner = ran[1:-1]
    for end in (ran[0], ran[-1]):
        alike = steps.operations[inner][steps.kind[inner] == steps.kind[end]]
        usual = np.median(alike) if alike.size else 0.0
        cut_off[end] = steps.operations[end] < MOSTLY_THERE * usual
    return cut_off


def _beside_pauses(result: MeasuredDevice, lag: int) -> Bool:
    """Return which steps the host worked for in a gap that is no cost of a step.

    Neither they nor what a pause takes tell how long steps take. Of a run of our own the times are
    those of the whole run. `lag` is as in `RecordedSteps`.
    """
    steps, gaps = result.steps, result.gaps.take(result.apart.touched)
    if steps.found == RECORDED or not len(gaps):
        return np.zeros(len(steps), np.bool_)
    beside_one = beside(gaps, steps)
    if lag:  # a step's span takes in the tokens of the one before
        beside_one[:-1] |= beside_one[1:]
    return beside_one


def _times(
    trace: Trace, result: MeasuredDevice, operation_step: Int64, computing: Int64
) -> StepTimes:
    by_step = Groups(operation_step[computing], len(result.steps))
    launch_call = result.launches[computing]
    launched = trace.calls.end[launch_call]
    operations = result.operations
    return StepTimes(
        first_launch=by_step.first(launched),
        last_launch=by_step.last(launched),
        compute_start=by_step.first(operations.start[computing]),
        compute_end=by_step.last(operations.end[computing]),
    )


def _pieces(trace: Trace, result: MeasuredDevice) -> tuple[Intervals, Int64]:
    """Return the host's time in pieces, and the row of each piece's step.

    What lies between two pieces is host work for the later one's step.
    """
    steps = result.steps
    if steps.found != RECORDED:
        step = np.arange(len(steps))
        return _without_holes(steps.start, steps.end, step)
    # Our step clock says for each range which step it worked for.
    ranges, own_thread = trace.ranges, trace.threads_of(result.device.process)
    rows = np.flatnonzero((ranges.step >= 0) & own_thread[ranges.thread])
    step = step_rows(steps.number, ranges.step[rows].astype(np.int64))
    known = step >= 0
    rows = rows[known]
    return _without_holes(ranges.start[rows], ranges.end[rows], step[known])


def _without_holes(start: Int64, end: Int64, step: Int64) -> tuple[Intervals, Int64]:
    """Return pieces in order of their start, each beginning where those before it have ended."""
    order = np.argsort(start, kind="stable")
    reach = np.maximum.accumulate(end[order])
    first_start = start[order[:1]]
    piece_start = np.concatenate((first_start, reach[:-1]))
    return Intervals(piece_start, reach), step[order]
