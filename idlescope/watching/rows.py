"""What the thread of a loop takes down: flat lists of integers, which another thread empties.

Nothing is computed here. A row is added by one `extend`, and taken off the front by one slice and
one `del`: each is one step under the interpreter's lock, so neither side needs another lock.
Integers are no objects to the garbage collector, so it does not run more often than before.

The lock may change hands between the reading of the clock and the `extend` that it was read for. So
`is_writing` is set before the clock is read, and unset when the row is there: who finds it unset
knows that all is there that happened before (`Rows.written_until`). What ends is in the rows before
it is no longer open, so that whoever looks at first what is open, and then takes the rows, has it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np

from idlescope.trace.table import Bool, Int64

# What a row of each list holds; names are codes of `Rows.names`, times in ns of perf_counter.
STEP_FIELDS = ("number", "kind", "start", "end", "tokens", "requests")
CALL_FIELDS = ("name", "step", "start", "end", "launch")  # launch: its number; 0: a wait
PHASE_FIELDS = ("name", "step", "start", "end")

LAUNCH_PREFIX = "launch."  # of the names of launch calls

# Codes of what is no phase of the loop's own.
COLLECTION, NO_DEMAND, OVERHEAD, OTHER = range(4)
RESERVED_NAMES = ("garbage collection", "no demand", "idlescope watch", "other")
MOST_NAMES = (
    1_024  # further ones are "other": names that hold numbers would grow without end
)
MOST_VALUES = 1 << 18  # in one list: what is not taken in time is dropped
MOST_OPEN = 512  # values of phases that are open: some are begun and never ended
BETWEEN_LOOKS_S = 50e-6  # writing takes microseconds, unless the system runs something else

Columns = dict[str, Int64]


class Codes(dict[str, int]):
    """Gives each name the next integer, as far as there is room for names."""

    def __init__(self) -> None:
        super().__init__()
        # To each who asks another one, whoever else does.
        self._next_code = count().__next__

    def __missing__(self, name: str) -> int:
        if len(self) >= MOST_NAMES:
            return OTHER
        return self.setdefault(name, self._next_code())

    def in_order(self) -> tuple[str, ...]:
        """Return the names by their codes; "" for a code that was given in vain."""
        codes = list(self.items())  # another thread may add one meanwhile
        names = [""] * (1 + max(code for _, code in codes))
        for name, code in codes:
            names[code] = name
        return tuple(names)


class Taken(NamedTuple):
    """Rows that were taken off the lists, as columns."""

    steps: Columns
    calls: Columns
    phases: Columns


class Rows:
    """The lists of one loop; `lost` is how many rows were dropped because nobody took them.

    Implements `capture.ranges.Listener`.
    """

    def __init__(self) -> None:
        self.names = Codes()
        for name in RESERVED_NAMES:
            self.names[name]  # a look-up gives it its code
        self.steps: list[int] = []
        self.calls: list[int] = []
        self.phases: list[int] = []
        self.open_phases: list[int] = []  # name, start, name, start, …, in order of starts
        self.is_writing = False
        self.lost = 0

    def begin(self, code: int) -> None:
        """Begin a phase."""
        self.is_writing = True
        self.open_phases.extend((code, perf_counter_ns()))
        self.is_writing = False

    def end(self, place: int) -> None:
        """End the phase whose name stands at a place of `open_phases`."""
        self.is_writing = True
        phase_end = perf_counter_ns()
        phase = self.open_phases[place : place + 2]
        if phase:  # else another thread has ended it
            self.phases.extend((phase[0], -1, phase[1], phase_end))
            del self.open_phases[place : place + 2]
        self.is_writing = False

    def written_until(self, patience: int) -> int | None:
        """Return a time before which all that happened is in the lists; None: not known now.

        The loop, if it is another thread's, is let go on with what it writes so many times.
        """
        for look in range(patience + 1):
            if look:
                time.sleep(BETWEEN_LOOKS_S)
            written_until = perf_counter_ns()
            if not self.is_writing:
                return written_until
        return None

    def shorten(self) -> None:
        """Drop the older half of lists that grew too long: nobody takes their rows."""
        if len(self.open_phases) > MOST_OPEN:
            del self.open_phases[: MOST_OPEN // 2]
        for values, fields in (
            (self.steps, STEP_FIELDS),
            (self.calls, CALL_FIELDS),
            (self.phases, PHASE_FIELDS),
        ):
            if len(values) > MOST_VALUES:
                rows = MOST_VALUES // 2 // len(fields)
                del values[: rows * len(fields)]
                self.lost += rows

    def take(self) -> Taken:
        """Take all rows that are there."""
        # Steps first: whatever belongs to a step that has ended is there by then.
        return Taken(
            _taken(self.steps, STEP_FIELDS),
            _taken(self.calls, CALL_FIELDS),
            _taken(self.phases, PHASE_FIELDS),
        )


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the columns of one table for those of several parts, in order."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chosen(columns: Columns, rows: Int64 | Bool) -> Columns:
    """Return the rows chosen by an index array or a mask."""
    return {name: column[rows] for name, column in columns.items()}


def row_table(values: Sequence[int], fields: Sequence[str]) -> Columns:
    """Return the columns of rows that stand one behind the other."""
    columns = np.array(values, np.int64).reshape(-1, len(fields)).T
    return dict(zip(fields, columns, strict=True))


def _taken(values: list[int], fields: Sequence[str]) -> Columns:
    size = len(values) // len(fields) * len(fields)
    rows = values[:size]
    del values[:size]
    return row_table(rows, fields)
