"""When the host works for which step, and when it waits: the host's part of the steps' costs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.intervals import AFTER_EVERYTHING, BEFORE_EVERYTHING, Intervals
from idlescope.analysis.prediction.recorded_steps import RecordedSteps
from idlescope.analysis.prediction.step_costs import HOST_COLUMNS
from idlescope.analysis.steps.batching import MOST
from idlescope.analysis.steps.process_waits import process_waits
from idlescope.analysis.steps.rank_waits import rank_waits, times_of
from idlescope.analysis.steps.waited_for import step_waits
from idlescope.trace.model import OperationKind
from idlescope.trace.names.calls import synchronising
from idlescope.trace.table import Int64

PIECES_AT_ONCE = 1 << 17


class BlockingCopies(NamedTuple):
    """Copies of unpinned memory that block the host before it launches a step."""

    call: Int64  # row of trace.calls, ascending
    begun: Int64  # when the copy began on the device, ns


class WorkPieces(NamedTuple):
    """When the host works, and for which step."""

    intervals: Intervals  # disjoint and in order
    step: Int64  # row of the step of each


class HostWork:
    """The host work of recorded steps. Waiting for a step is none; any other wait is one's pace."""

    def __init__(self, steps: RecordedSteps) -> None:
        self.steps = steps

    def columns(self, only: Intervals | None = None) -> dict[str, Int64]:
        """Return the host columns of the step costs, in ns: of all host work, or of a part.

        `only` are the disjoint times that count. The result has one row per replayable step.
        """
        count = len(self.steps)
        # A step's host work is divided at its first and last launch, where a part of it was waited
        # for, and where its tokens came.
        bounds = (
            np.full(count, BEFORE_EVERYTHING),
            self.steps.times.first_launch,
            self.part_taken,
            self.steps.times.last_launch,
            self.tokens_taken,
            np.full(count, AFTER_EVERYTHING),
        )
        columns = {name: np.zeros(count, np.int64) for name in HOST_COLUMNS}
        nothing_counts = only is not None and not only.start.size
        for (start, end), step in () if nothing_counts else self._pieces():
            by_step = Groups(step, count)
            for name, low, high in zip(HOST_COLUMNS, bounds[:-1], bounds[1:], strict=True):
                part_start = np.maximum(start, low[step])
                part_end = np.maximum(np.minimum(end, high[step]), part_start)
                by_step.add_to(columns[name], _length(part_start, part_end, only))
        # What a span holds after its wait belongs to the step before, whose tokens it waited for.
        if self.steps.lag:
            after = columns["after"]
            usual = np.int64(np.median(after))
            columns["after"] = np.append(after[1:], usual)
        whole = self.steps.whole
        return {name: values[whole] for name, values in columns.items()}

    @cached_property
    def for_ranks(self) -> dict[str, Int64]:
        """Return the part of the host columns in which it waits for other ranks, in ns.

        It is no work: neither a faster host nor asynchronous batching makes it shorter.
        """
        spans = rank_waits(self.steps.trace, self.steps.result.view.names)
        return self.columns(times_of(spans, self.steps.thread))

    @cached_property
    def for_processes(self) -> dict[str, Int64]:
        """Return the part of the host columns in which it waits for another process, in ns.

        That one works meanwhile. It does so beside this host, too, where batching is asynchronous.
        """
        return self.columns(self._process_waits)

    @cached_property
    def blocking_copies(self) -> BlockingCopies:
        """Return the copies of unpinned memory in which the host waits before a step's launch.

        A synchronising call that copies is left out: there waiting was meant.
        """
        trace, result = self.steps.trace, self.steps.result
        operations, launches = result.operations, result.launches
        is_copy = operations.kind == OperationKind.MEMCPY
        copies = np.flatnonzero(is_copy & (launches >= 0))

        # Keep those whose call waits though its name does not say so, in the order of calls.
        means_to_wait = synchronising(trace.names)[trace.calls.name]
        blocks = result.waits & ~means_to_wait
        copies = copies[blocks[launches[copies]]]
        by_call = np.argsort(launches[copies], kind="stable")
        copies = copies[by_call]

        # Keep those that begin before the last launch of the step they are in.
        call = launches[copies]
        called = trace.calls.start[call]
        piece = self._piece_at(called)
        step = self.steps.piece_step[piece]
        last_launch = self.steps.times.last_launch[step]
        before_launch = (piece >= 0) & (called < last_launch)
        begun = operations.start[copies]
        return BlockingCopies(call[before_launch], begun[before_launch])

    @cached_property
    def waiting(self) -> Intervals:
        """Return when the host waits for a step.

        A blocking copy counts as a wait until it runs: from then on it is host work. Where another
        process is waited for while the device computes, that one may wait for the device.
        """
        calls, copies = self.steps.trace.calls, self.blocking_copies
        end = calls.end[self._step_waits].copy()
        if copies.call.size:
            place = np.searchsorted(copies.call, self._step_waits)
            place = np.minimum(place, copies.call.size - 1)
            is_copy = copies.call[place] == self._step_waits
            end[is_copy] = np.minimum(end[is_copy], copies.begun[place[is_copy]])
        running = intervals.union(
            self.steps.result.operations.start, self.steps.result.operations.end
        )
        beside = intervals.overlaps(self._process_waits, running).intervals
        return intervals.union(
            np.concatenate(
                (calls.start[self._step_waits], calls.start[self._part_waits], beside.start)
            ),
            np.concatenate((end, calls.end[self._part_waits], beside.end)),
        )

    @cached_property
    def part_taken(self) -> Int64:
        """Return the end of each step's last wait for a part of it; its last launch if none."""
        calls, times = self.steps.trace.calls, self.steps.times
        piece = self._piece_at(calls.start[self._part_waits])
        step = self.steps.piece_step[piece]
        wait_end = calls.end[self._part_waits]
        between = (times.first_launch[step] < wait_end) & (
            wait_end < times.last_launch[step]
        )
        between &= piece >= 0
        by_step = Groups(step[between], times.last_launch.size)
        last_wait = by_step.last(wait_end[between])
        return np.where(last_wait > BEFORE_EVERYTHING, last_wait, times.last_launch)

    @cached_property
    def tokens_taken(self) -> Int64:
        """Return the end of the last wait after each step's last launch; that launch if none."""
        calls, last_launch = self.steps.trace.calls, self.steps.times.last_launch
        piece = self._piece_at(calls.start[self._step_waits])
        step = self.steps.piece_step[piece]
        wait_end = calls.end[self._step_waits]
        after_launch = (piece >= 0) & (wait_end > last_launch[step])
        by_step = Groups(step[after_launch], last_launch.size)
        last_wait = by_step.last(wait_end[after_launch])
        return np.maximum(last_launch, last_wait)

    @cached_property
    def _process_waits(self) -> Intervals:
        """Return when the host waits for another process: disjoint intervals."""
        return times_of(process_waits(self.steps.trace), self.steps.thread)

    @cached_property
    def _part_waits(self) -> Int64:
        """Return the calls in which the host waits for a part of a step: rows of trace.calls.

        They stay in an asynchronous loop.
        """
        result = self.steps.result
        waits = step_waits(result.view, result.steps, result.step).inside_calls
        habit = waits.size > MOST * len(result.steps)
        return waits if habit else np.empty(0, np.int64)

    @cached_property
    def _step_waits(self) -> Int64:
        """Return the calls in which the host waits for a step: rows of trace.calls.

        They begin while a step that was launched still computes. Any other wait costs the host.
        """
        calls, times = self.steps.trace.calls, self.steps.times
        of_thread = calls.thread == self.steps.thread
        waits = np.flatnonzero(self.steps.result.waits & of_thread)
        launched = np.maximum.accumulate(times.last_launch)
        latest_step = np.searchsorted(launched, calls.start[waits], "right") - 1
        done = np.maximum.accumulate(times.compute_end)[np.maximum(latest_step, 0)]
        return waits[(latest_step < 0) | (done > calls.start[waits])]

    @cached_property
    def _working(self) -> Intervals:
        """Return when the host waits for no step: disjoint intervals."""
        low, high = self.steps.begin, self.steps.end
        return intervals.gaps(intervals.clip(self.waiting, low, high), low, high)

    def _pieces(self) -> Iterator[WorkPieces]:
        """Yield the host's time without that in which it waits for a step, some at a time.

        Of a million steps, the pieces of all at once would be most of an analysis' memory.
        """
        pieces, piece_step = self.steps.pieces, self.steps.piece_step
        for first in range(0, piece_step.size, PIECES_AT_ONCE):
            some = slice(first, first + PIECES_AT_ONCE)
            of_some = Intervals(pieces.start[some], pieces.end[some])
            shared = intervals.overlaps(of_some, self._working)
            yield WorkPieces(shared.intervals, piece_step[some][shared.left])

    def _piece_at(self, times: Int64) -> Int64:
        """Return the piece of the host's time that each time lies in; -1 before the first."""
        return np.searchsorted(self.steps.pieces.start, times, "right") - 1


def _length(start: Int64, end: Int64, only: Intervals | None) -> Int64:
    """Return how long each of some times is, or how much of it lies within disjoint ones, ns."""
    return end - start if only is None else intervals.covered_within(only, start, end)
