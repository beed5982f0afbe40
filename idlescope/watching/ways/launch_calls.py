"""Which launch call of the loop issued an operation that CUPTI recorded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.trace.table import Bool, Int64
from idlescope.watching.ways.cupti_records import CallRecords, joined_calls

FIELDS = ("launch", "start", "end")  # of a launch call of the loop
MOST_LAUNCHES = 4_096  # that came before
MOST_CALLS = 32_768  # of the API that came before: their operations may still come
SLACK_NS = 5_000  # two clocks, tied to a few microseconds
FAR = np.iinfo(np.int64).max


class Issued(NamedTuple):
    """What is known of the calls that issued operations: columns of one row each."""

    launch: Int64  # the launch call of the loop; 0: outside of launch calls, or not known
    known: Bool  # whether a call of the API is known
    start: Int64  # of that call; 0: not known
    end: Int64

    def only(self, rows: Bool) -> Issued:
        """Return these rows."""
        return Issued(self.launch[rows], self.known[rows], self.start[rows], self.end[rows])


class LaunchCalls:
    """Knows the loop's launch calls and CUDA's calls within them; keeps the newest of both.

    All that comes at once is kept till more comes: its operations come at the same time.
    """

    def __init__(self) -> None:
        none = np.empty(0, np.int64)
        self._rows: list[int] = []  # of FIELDS: `note` adds them in the thread of the loop
        self._launches = none.reshape(len(FIELDS), 0)
        # Of calls, as they came: correlation ids begin anew after 2**32.
        self._calls = CallRecords(none, none, none)
        self._launch_of_call = none

    def note(self, launch: int, start: int, end: int) -> None:
        """Add a launch call of the loop, which has returned."""
        self._rows.extend((launch, start, end))

    def take_notes(self) -> None:
        """Take in what was noted; the newest of before are kept, too."""
        size = len(self._rows) // len(FIELDS) * len(FIELDS)
        rows = self._rows[:size]
        del self._rows[:size]
        columns = np.array(rows, np.int64).reshape(-1, len(FIELDS)).T
        before = self._launches[:, -MOST_LAUNCHES:]
        self._launches = np.concatenate((before, columns), axis=1)

    def start_of(self, launch: int) -> int | None:
        """Return when a launch call began; None where it is no longer known."""
        row = int(np.searchsorted(self._launches[0], launch))
        known = row < self._launches[0].size and self._launches[0][row] == launch
        return int(self._launches[1][row]) if known else None

    def newest(self) -> tuple[int, int]:
        """Return the number of the last launch call that has returned, and when; 0, 0: none."""
        if not self._launches.size:
            return 0, 0
        return int(self._launches[0][-1]), int(self._launches[2][-1])

    def add_calls(self, calls: CallRecords, open_launch: int, open_start: int) -> None:
        """Take in calls of the API, on the host's clock; those that come together are all kept.

        `open_launch` is the launch call that has not returned yet; 0: none.
        """
        if not calls.start.size:
            return
        launch = self.at(calls.start, open_launch, open_start)
        kept = self._launch_of_call[-MOST_CALLS:]
        self._launch_of_call = np.concatenate((kept, launch))
        newest = CallRecords(*(column[-MOST_CALLS:] for column in self._calls))
        self._calls = joined_calls([newest, calls])

    def at(self, moment: Int64, open_launch: int, open_start: int) -> Int64:
        """Return the launch call in which each moment lies; 0: in none."""
        numbers, starts, ends = self._with_open(open_launch, open_start)
        if not numbers.size:
            return np.zeros(moment.size, np.int64)
        row = np.searchsorted(starts, moment + SLACK_NS, "right") - 1
        within = (row >= 0) & (moment - SLACK_NS <= ends[row])
        return np.where(within, numbers[row], 0)

    def of(self, correlation: Int64) -> Issued:
        """Return what issued operations, by their correlation ids."""
        calls = self._calls
        if not calls.correlation.size:
            nothing = np.zeros(correlation.size, np.int64)
            return Issued(nothing, nothing.astype(np.bool_), nothing, nothing)
        # A call of the runtime and the driver's call in it have one correlation id: the one that
        # starts first counts.
        order = np.lexsort((calls.start, calls.correlation))
        place = np.searchsorted(calls.correlation, correlation, sorter=order)
        row = order[np.minimum(place, order.size - 1)]
        known = calls.correlation[row] == correlation
        launch = np.where(known, self._launch_of_call[row], 0)
        start, end = np.where(known, (calls.start[row], calls.end[row]), 0)
        return Issued(launch, known, start, end)

    def before(self, moment: Int64, open_launch: int, open_start: int) -> Int64:
        """Return the last launch call that began before each moment; 0: none did."""
        numbers, starts, _ = self._with_open(open_launch, open_start)
        row = np.searchsorted(starts, moment, "right") - 1
        return (
            np.where(row >= 0, numbers[np.maximum(row, 0)], 0) if numbers.size else row * 0
        )

    def _with_open(self, open_launch: int, open_start: int) -> Int64:
        """Return the columns of FIELDS, with the launch call that has not returned, if any."""
        if not open_launch:
            return self._launches
        still_open = np.array([[open_launch], [open_start], [FAR]], np.int64)
        return np.concatenate((self._launches, still_open), axis=1)
