"""The device's part of the steps' costs, and how it is put together with the host's."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.analysis.intervals import BEFORE_EVERYTHING
from idlescope.analysis.prediction.host_work import HostWork
from idlescope.analysis.prediction.recorded_steps import RecordedSteps, step_rows
from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Bool, Int64

QUEUED_NS = 20_000  # more than the launch of a kernel takes to arrive


def measure_costs(work: HostWork) -> StepCosts:
    """Return the costs of recorded steps: one row per step that can be replayed."""
    steps, times = work.steps, work.steps.times
    start, end, first_launch, last_launch = (
        np.where(steps.whole, column, 0)
        for column in (
            times.compute_start,
            times.compute_end,
            times.first_launch,
            times.last_launch,
        )
    )
    kernels = _kernels(steps)
    # A wait for a part of a step stays in an asynchronous loop, with what the device does for it.
    has_part = steps.whole & (work.part_taken < times.last_launch)
    reach = np.where(has_part, np.maximum(work.part_taken - start, 0), 0)
    # Gaps within a step that its launches, coming late, left open are the host's doing.
    late_ns = _late_launches(steps, start, start + reach, end)
    compute = np.clip(end - start - late_ns, kernels, None)

    # Copies on a stream that computes wait for the step before, as its kernels do: weights that are
    # kept on the host, inputs that are copied by the loop itself.
    of_other_streams, in_turn = _copies_before(steps, start)
    compute += in_turn
    latency, finish = start - first_launch - in_turn, end - last_launch

    # A step launched while the one before it ran waits in the queue: its own latency and finish do
    # not show. It is taken to have the usual latency.
    queued = _queued(first_launch, times.compute_end)
    seen = steps.whole & ~queued
    usual_latency = int(np.median(latency[seen])) if seen.any() else 0
    latency[queued] = usual_latency
    finish[queued] = np.minimum(finish, usual_latency + compute)[queued]

    copies = np.clip(of_other_streams, 0, np.maximum(latency, 0))
    device_columns = {
        "latency": latency,
        "copies": copies,
        "compute": compute,
        "reach": reach,
        "finish": finish,
        "tail": _tail(work, end),
        "kernels": kernels,
    }
    of_whole = {name: column[steps.whole] for name, column in device_columns.items()}
    return StepCosts(**work.columns(), **of_whole)


def _kernels(steps: RecordedSteps) -> Int64:
    """Return how long any kernel of each step ran."""
    operations = steps.result.operations.take(steps.computing)
    step = steps.operation_step[steps.computing]
    return Groups(step, len(steps)).covered(operations.start, operations.end)


def _queued(first_launch: Int64, compute_end: Int64) -> Bool:
    """Return which steps were launched while the step before them ran, be that one whole or not."""
    reach = np.maximum.accumulate(compute_end)
    previous_end = np.concatenate(([BEFORE_EVERYTHING], reach[:-1]))
    queued = first_launch + QUEUED_NS < previous_end
    queued[0] = np.median(queued[1:]) > 0  # the step before it is not in the trace
    return queued


def _copies_before(steps: RecordedSteps, compute_start: Int64) -> tuple[Int64, Int64]:
    """Return how long copies of each step ran that had ended when its compute began.

    The first are those on streams in which nothing computes, the others those on streams of the
    step's compute.
    """
    operations, step = steps.result.operations, steps.operation_step
    copies = np.flatnonzero((operations.kind == OperationKind.MEMCPY) & (step >= 0))
    copies = copies[operations.end[copies] <= compute_start[step[copies]]]
    computes = np.isin(operations.stream[copies], operations.stream[steps.computing])
    apart, in_turn = (
        Groups(step[rows], len(steps)).covered(operations.start[rows], operations.end[rows])
        for rows in (copies[~computes], copies[computes])
    )
    return apart, in_turn


def _late_launches(steps: RecordedSteps, start: Int64, begin: Int64, end: Int64) -> Int64:
    """Return the idle time within each step's compute that is there as its launches came late.

    Gaps that end after `begin` count: its compute's start, or the wait for a part of it.
    """
    gaps, result = steps.result.gaps, steps.result
    ended_by = np.where(gaps.operation >= 0, result.step[gaps.operation], -1)
    step = step_rows(result.steps.number, ended_by)
    inside = (step >= 0) & (gaps.start >= start[step]) & (gaps.end <= end[step])
    inside &= gaps.end > begin[step]
    late = gaps.host + gaps.launch
    return Groups(step[inside], len(steps)).total(late[inside])


def _tail(work: HostWork, compute_end: Int64) -> Int64:
    """Return the time from the end of each step's compute until the host woke up.

    Where the host came later than that, the usual time is taken.
    """
    woken = work.tokens_taken
    waited = woken > work.steps.times.last_launch
    if work.steps.lag:  # the wait within a step's span is for the step before
        woken = np.append(woken[1:], BEFORE_EVERYTHING)
        waited = np.append(waited[1:], False)

    # Of a host that was waiting when compute ended, the tail is what it took to wake up.
    caught = waited & (woken >= compute_end)
    wait_start, wait_end = work.waiting
    if wait_end.size:
        wait = np.searchsorted(wait_end, woken)
        wait = np.minimum(wait, wait_end.size - 1)
        caught &= wait_start[wait] <= compute_end
    if not caught.any():
        return np.zeros(woken.size, np.int64)
    tail = woken - compute_end
    usual_tail = int(np.median(tail[caught]))
    return np.where(caught, tail, usual_tail)
