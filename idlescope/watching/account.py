"""The account of one device: each nanosecond is busy, or idle for a cause, as `analysis` says.

What is not settled yet, such as an operation that has not ended, waits for the next stretch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle import causes, host_time
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.analysis.idle.host_labels import CALL_PREFIX, UNTRACED, phase_of
from idlescope.analysis.idle.occupancy import occupancy
from idlescope.analysis.intervals import AFTER_EVERYTHING, Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import Device
from idlescope.trace.table import Bool, Int64
from idlescope.watching import long_gaps, turns
from idlescope.watching.history import History
from idlescope.watching.long_gaps import WholeGaps
from idlescope.watching.rows import (
    CALL_FIELDS,
    LAUNCH_PREFIX,
    PHASE_FIELDS,
    Columns,
    Taken,
    chosen,
    joined,
    row_table,
)
from idlescope.watching.state import NO_DEMAND
from idlescope.watching.step_account import StepAccount
from idlescope.watching.stretch import (
    OPERATION_FIELDS,
    Stretch,
    launching_call,
    touches,
)
from idlescope.watching.totals import Totals
from idlescope.watching.ways.base import Ended

MOST_CARRIED = (
    200_000  # rows of a table that wait; a device that never ends anything fills no more
)


MOST_BEGUN = 4_096  # steps of which it is known when they began
BEGUN_FIELDS = ("number", "start")


class OpenRows(NamedTuple):
    """What the host is in the midst of: rows without an end."""

    phases: list[int]  # name, start, name, start, …
    wait: tuple[int, int] | None  # the name and start of a wait
    step: int
    step_start: int = 0  # 0: none is open


class Account:
    """Counts what is settled into `totals` and `history`."""

    def __init__(self, device: Device | None) -> None:
        self.totals = Totals()
        self.history = History()
        self.until = 0  # everything before is settled
        self.dropped = 0  # rows that waited in vain
        self._device = device
        self._settled_until: int | None = None  # None: no operation has been seen
        self._operations = row_table((), OPERATION_FIELDS)
        self._calls = row_table((), CALL_FIELDS)
        self._phases = row_table((), PHASE_FIELDS)
        self._steps = StepAccount(self.totals, self.history)
        self._early = row_table((), OPERATION_FIELDS)  # whose launch is not taken down yet
        self._newest_launch = 0
        self._begun = row_table((), BEGUN_FIELDS)  # the last steps, in order
        self._first_step_start = AFTER_EVERYTHING  # no step has begun
        self._cut_gap_ns = 0  # of a gap that the end of the last stretch cuts off

    def settle(
        self, ended: Ended, taken: Taken, still_open: OpenRows, names: tuple[str, ...]
    ) -> Columns:
        """Take in what has happened; return the operations that are new, with their steps."""
        self._calls = joined((self._calls, taken.calls))
        self._phases = joined((self._phases, taken.phases))
        self._steps.add(taken.steps)
        self._note_begun(taken.steps, still_open)
        fresh, until = self._with_steps(ended)
        turns.pause()
        self._operations = joined((self._operations, fresh))
        if self._settled_until is None:
            # what begins later may not be the first that began
            begun = self._operations["start"][self._operations["start"] < until]
            self._settled_until = int(begun.min()) if begun.size else None
        low = self._settled_until
        if self._device is not None and low is not None and until > low:
            until = self._before_a_gap_that_is_told(low, until)
        if self._device is not None and low is not None and until > low:
            self._measure(self._stretch(low, until, still_open, names, self._device))
            self._settled_until = until
            turns.pause()
        self._steps.finish(until, self._unsettled(until), self._device is not None)
        self._carry(until)
        self.until = until
        return fresh

    def _note_begun(self, steps: Columns, still_open: OpenRows) -> None:
        """Note when steps began, the open one too."""
        begun = {name: steps[name] for name in BEGUN_FIELDS}
        if still_open.step_start:
            open_step = (still_open.step, still_open.step_start)
            begun = joined((begun, row_table(open_step, BEGUN_FIELDS)))
        begun = joined((self._begun, begun))
        newest = np.argsort(begun["start"], kind="stable")[-MOST_BEGUN:]
        self._begun = chosen(begun, newest)
        self._first_step_start = int(begun["start"].min(initial=self._first_step_start))

    def _is_of_start_up(self, operations: Columns) -> Bool:
        """Return which operations are of no launch call of the loop, and before its first step.

        Loading and trying a model is no work of the loop that is watched.
        """
        of_no_launch = operations["launch"] == 0
        return of_no_launch & (operations["start"] < self._first_step_start)

    def _step_at(self, moment: Int64) -> Int64:
        """Return the step that had begun last at each moment; -1: none is known."""
        row = np.searchsorted(self._begun["start"], moment, "right") - 1
        return np.append(self._begun["number"], -1)[row]

    def _with_steps(self, ended: Ended) -> tuple[Columns, int]:
        """Return operations, each with the step of the call that launched it, and until when.

        What was issued outside of launch calls is of the step that had begun last.

        One whose call is only about to be taken down waits for the next time.
        """
        columns = {
            name: np.asarray(getattr(ended, name), np.int64)
            for name in OPERATION_FIELDS[:-3]
        }
        columns["call_start"], columns["call_end"] = ended.call_times()
        columns["step"] = np.full(ended.start.size, -1)
        columns = joined((self._early, columns))
        row = launching_call(self._calls, columns["launch"])
        columns["step"] = np.append(self._calls["step"], -1)[row]
        outside = (columns["launch"] == 0) & (columns["call_start"] > 0)
        columns["step"][outside] = self._step_at(columns["call_start"][outside])
        columns = chosen(columns, ~self._is_of_start_up(columns))
        self._newest_launch = max(
            self._newest_launch, int(self._calls["launch"].max(initial=0))
        )
        is_early = columns["launch"] > self._newest_launch
        self._early = chosen(columns, is_early)
        until = min(ended.until_ns, int(self._early["start"].min(initial=ended.until_ns)))
        return chosen(columns, ~is_early), until

    def _before_a_gap_that_is_told(self, low: int, until: int) -> int:
        """Return where a stretch ends: not in a gap of which it is known what ends it.

        Whether the rest of a gap is launch latency or queueing depends on where it begins.
        """
        operations = self._operations
        following = np.flatnonzero(operations["start"] >= until)
        if not following.size:
            return until
        first = following[operations["start"][following].argmin()]
        if self._issued(int(first)) >= until:
            return until
        begun = operations["start"] < until
        last_end = int(operations["end"][begun].max(initial=low))
        return min(last_end, until)

    def _issued(self, operation: int) -> int:
        """Return when the call began that issued an operation, given by its row; -1: not known."""
        own_start = int(self._operations["call_start"][operation])
        if own_start:
            return own_start
        call = launching_call(self._calls, self._operations["launch"][[operation]])[0]
        return int(self._calls["start"][call]) if call >= 0 else -1

    def _stretch(
        self,
        low: int,
        high: int,
        still_open: OpenRows,
        names: tuple[str, ...],
        device: Device,
    ) -> Stretch:
        """Return the stretch [low, high); what is open lasts until its end."""
        phases, calls = self._phases, self._calls
        open_phases: list[int] = []
        for name, start in zip(
            still_open.phases[::2], still_open.phases[1::2], strict=False
        ):
            if start < high:
                open_phases += (name, still_open.step, start, high)
        if open_phases:
            phases = joined((phases, row_table(open_phases, PHASE_FIELDS)))
        if still_open.wait is not None and still_open.wait[1] < high:
            name, start = still_open.wait
            open_wait = (name, still_open.step, start, high, 0)
            calls = joined((calls, row_table(open_wait, CALL_FIELDS)))
        return Stretch(
            low=low,
            high=high,
            names=names,
            device=device,
            operations=self._operations,
            calls=calls,
            phases=phases,
            empty_steps=self._steps.empty_times(),
        )

    def _measure(self, stretch: Stretch) -> None:
        """Count the busy and idle time of a stretch."""
        view = stretch.view()
        turns.pause()
        occupied = occupancy(view.operations, (stretch.low, stretch.high))
        gaps = causes.attribute(view, occupied.gaps)

        # The host's part of gaps, less that in which there was no request.
        _, cause, parts = gaps.parts()
        idle = {
            name: Intervals(parts.start[cause == code], parts.end[cause == code])
            for code, name in enumerate(CAUSES)
        }
        no_request = intervals.overlaps(idle["host"], stretch.no_demand()).intervals
        with_request = intervals.subtract(idle["host"], no_request)
        idle |= {"host": with_request, NO_DEMAND: no_request}

        totals = self.totals
        totals.busy_ns += occupied.active_ns
        for name, times in idle.items():
            totals.idle_ns[name] += times.measure
        made = intervals.overlaps(occupied.gaps, stretch.lengthened())
        totals.own_idle_ns += made.intervals.measure
        totals.communication_ns += stretch.communication()
        whole = self._whole_gaps(view, gaps, stretch.high)
        turns.pause()
        self._divide_host(view, gaps, whole, with_request)
        turns.pause()
        self._count_launches(view, gaps)
        self._steps.mark(view, whole)
        turns.pause()

        busy = intervals.clip(
            intervals.union(view.operations.start, view.operations.end),
            stretch.low,
            stretch.high,
        )
        self.history.add_device(stretch.low, stretch.high, busy, idle)

    def _divide_host(
        self, view: DeviceView, gaps: Gaps, whole: WholeGaps, times: Intervals
    ) -> None:
        """Count by phase the times in which the host had not issued work; note long gaps."""
        parent = np.searchsorted(gaps.start, times.start, "right") - 1
        rows = long_gaps.rows_of(whole, long_gaps.shortest_ns(self.totals))
        groups = long_gaps.grouped(rows, len(gaps), parent)
        by_label = host_time.divide_by(view, _parts_of_gaps(gaps, parent, times), groups)
        by_phase = _by_phase(by_label)
        self.totals.add_host({phase: int(ns.sum()) for phase, ns in by_phase.items()})
        self.history.gaps.extend(long_gaps.described(rows, gaps, whole, by_phase))

    def _count_launches(self, view: DeviceView, gaps: Gaps) -> None:
        """Count how long it took from a launch call to its operation, where the device was idle."""
        known = np.flatnonzero(gaps.call >= 0)
        call_start = view.trace.calls.start[gaps.call[known]]
        waited_for = (call_start >= gaps.start[known]) & (call_start < gaps.end[known])
        latency = gaps.end[known][waited_for] - call_start[waited_for]
        self.totals.launch_latency_ns += int(latency.sum())
        self.totals.launches += int(waited_for.sum())

    def _whole_gaps(self, view: DeviceView, gaps: Gaps, high: int) -> WholeGaps:
        """Return the gaps in full; one that the stretch cuts off waits for the next."""
        length = gaps.length.copy()
        if length.size and gaps.start[0] == self._settled_until:
            length[0] += self._cut_gap_ns
        self._cut_gap_ns = 0  # else an operation began right where it was cut
        is_cut = gaps.end == high
        self._cut_gap_ns += int(length[is_cut].sum())
        step = view.operations.step[gaps.operation].astype(np.int64)
        return WholeGaps(np.where(is_cut, 0, length), np.where(is_cut, -1, step))

    def _unsettled(self, until: int) -> Int64:
        """Return the steps of which something lasts beyond a time."""
        operations = self._operations["step"][touches(self._operations, until)]
        calls = self._calls["step"][touches(self._calls, until)]
        return np.concatenate((operations, calls))

    def _carry(self, until: int) -> None:
        """Keep what the next stretch needs: rows that last beyond this one, and their calls."""
        self._operations = self._newest(
            chosen(self._operations, touches(self._operations, until))
        )
        launched = np.isin(self._calls["launch"], self._operations["launch"])
        launched &= self._calls["launch"] > 0
        self._calls = self._newest(
            chosen(self._calls, touches(self._calls, until) | launched)
        )
        self._phases = self._newest(chosen(self._phases, touches(self._phases, until)))
        self._steps.rows = self._newest(self._steps.rows)

    def _newest(self, columns: Columns) -> Columns:
        rows = next(iter(columns.values())).size
        if rows <= MOST_CARRIED:
            return columns
        self.dropped += rows - MOST_CARRIED
        return chosen(columns, np.arange(rows - MOST_CARRIED, rows))


def _parts_of_gaps(gaps: Gaps, parent: Int64, times: Intervals) -> Gaps:
    """Return gaps that are these times of the host's part of others, with the same calls."""
    none = np.zeros(times.start.size, np.int64)
    return Gaps(
        start=times.start,
        end=times.end,
        host=times.length,
        launch=none,
        queued=none,
        unattributed=none,
        call=gaps.call[parent],
        operation=gaps.operation[parent],
        no_demand=none,
    )


def _by_phase(by_label: Mapping[str, Int64]) -> dict[str, Int64]:
    """Return host time by phase: waits are one, and so is what is untraced."""
    by_phase: dict[str, Int64] = {}
    for label, time_ns in by_label.items():
        phase = phase_of(label).removeprefix("range: ")
        if phase.startswith("between "):
            phase = UNTRACED
        phase = phase.removeprefix(LAUNCH_PREFIX)
        if phase.startswith(CALL_PREFIX):
            phase = "waiting"
        by_phase[phase] = by_phase[phase] + time_ns if phase in by_phase else time_ns
    return by_phase
