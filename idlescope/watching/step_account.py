"""The steps of a watch: each is counted once everything that it did on the device is known."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.grouping import by_key, by_value
from idlescope.analysis.intervals import AFTER_EVERYTHING, BEFORE_EVERYTHING, Intervals
from idlescope.analysis.steps.step_kind import STEP_KINDS, StepKind
from idlescope.analysis.view import DeviceView
from idlescope.trace.table import Int64
from idlescope.watching.history import History
from idlescope.watching.long_gaps import WholeGaps
from idlescope.watching.rows import STEP_FIELDS, Columns, chosen, joined, row_table
from idlescope.watching.totals import Totals

MARK_FIELDS = ("step", "launched", "done", "idle")
MOST_BEHIND = 64  # what is marked for a step that was counted so many steps ago is dropped


class StepAccount:
    """Counts steps into `totals` and `history`; `rows` are those that wait."""

    def __init__(self, totals: Totals, history: History) -> None:
        self.rows = row_table((), STEP_FIELDS)  # that have ended on the host
        self._totals = totals
        self._history = history
        self._marks = row_table((), MARK_FIELDS)  # what is known of steps on the device
        self._last_number = -1  # of the step that was counted last
        self._last_done = BEFORE_EVERYTHING  # when that ended on the device
        self._tells_launches = False  # the loop says what it launches
        self._tells_requests = False  # it says how many requests run: 0 is none, then

    def add(self, steps: Columns) -> None:
        """Take in steps that have ended on the host."""
        self.rows = joined((self.rows, steps))

    def empty_times(self) -> Intervals:
        """Return the times of the steps that scheduled no token."""
        empty = self.rows["kind"] == StepKind.EMPTY.code
        return Intervals(self.rows["start"][empty], self.rows["end"][empty])

    def mark(self, view: DeviceView, whole: WholeGaps) -> None:
        """Note when steps were launched and ended, and which idle time they exposed."""
        operations = view.operations
        known = operations.step >= 0
        number, _ = by_value(operations.step[known])
        by_gap, ended_by_step = by_key(number, whole.step)

        # What a loop launches by the way, as it makes the next batch, may still be of the step
        # before: when a step was launched and done is told by the loop's own launch calls.
        in_launch_call = known & (operations.correlation > 0)
        self._tells_launches |= bool(in_launch_call.any())
        told = in_launch_call if self._tells_launches else known
        by_step, of_step = by_key(number, operations.step[told])
        call_start = np.append(view.trace.calls.start, AFTER_EVERYTHING)
        launched = call_start[view.launches[told]][of_step]
        marks = {
            "step": number,
            "launched": by_step.first(launched),
            "done": by_step.last(operations.end[told][of_step]),
            "idle": by_gap.total(whole.length[ended_by_step]),
        }
        self._marks = joined((self._marks, marks))

    def finish(self, until: int, unsettled: Int64, timed: bool) -> None:
        """Count the steps that ended before a time and are none of the unsettled ones.

        In their order: whether one was launched early is told by the one before.
        """
        number = self.rows["number"]
        goes_on = (self.rows["end"] > until) | np.isin(number, unsettled)
        is_over = number < number[goes_on].min(initial=AFTER_EVERYTHING)
        finished = chosen(self.rows, is_over)
        self.rows = chosen(self.rows, ~is_over)
        if not finished["number"].size:
            return
        self._count(finished)
        if timed:
            self._count_on_device(np.sort(finished["number"]))

    def _count(self, finished: Columns) -> None:
        """Count what the host says of steps."""
        totals = self._totals
        totals.step_time.add(finished["end"] - finished["start"])
        totals.tokens += int(finished["tokens"].sum())
        self._tells_requests |= bool(finished["requests"].any())
        if self._tells_requests:
            totals.requests = int(finished["requests"][-1])
        of_kind = np.bincount(finished["kind"], minlength=len(STEP_KINDS)).tolist()
        for kind, count in zip(STEP_KINDS, of_kind, strict=True):
            totals.steps[kind.value] += count
        self._history.add_steps(finished)

    def _count_on_device(self, number: Int64) -> None:
        """Count what steps, given by their numbers in order, did on the device."""
        by_step, known = by_key(number, self._marks["step"])
        marks = chosen(self._marks, known)
        still_wanted = self._marks["step"] > number[-1] - MOST_BEHIND
        self._marks = chosen(self._marks, still_wanted & ~known)

        exposed = by_step.total(marks["idle"])
        self._totals.idle_per_step.add(exposed[by_step.occupied()])
        launched = by_step.first(marks["launched"])
        done = by_step.last(marks["done"])
        self._count_early(number, launched, done)

    def _count_early(self, number: Int64, launched: Int64, done: Int64) -> None:
        """Count the steps launched before their predecessor ended, where both are known."""
        number_before = np.concatenate(([self._last_number], number[:-1]))
        done_before = np.concatenate(([self._last_done], done[:-1]))
        follows = number_before == number - 1
        is_known = (launched < AFTER_EVERYTHING) & (done_before > BEFORE_EVERYTHING)
        told = follows & is_known
        is_early = told & (launched < done_before)
        self._totals.launched_told += int(told.sum())
        self._totals.launched_early += int(is_early.sum())
        self._last_number, self._last_done = int(number[-1]), int(done[-1])
