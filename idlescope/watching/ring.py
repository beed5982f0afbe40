"""The last steps of a watch, kept as they came: what a recording is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idlescope import __version__
from idlescope.analysis.steps.step_kind import STEP_KINDS, StepKind
from idlescope.trace.interner import Interner
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import (
    Calls,
    Counters,
    Device,
    OperationKind,
    RangeKind,
    Ranges,
    Thread,
    Trace,
)
from idlescope.trace.names.own_engine import RUNNING, TOKENS
from idlescope.trace.table import Int64
from idlescope.trace.watch_said import WatchSaid
from idlescope.watching.rows import (
    CALL_FIELDS,
    LAUNCH_PREFIX,
    PHASE_FIELDS,
    STEP_FIELDS,
    Columns,
    Taken,
    chosen,
    joined,
    row_table,
)
from idlescope.watching.stretch import (
    OPERATION_FIELDS,
    launch_spans,
    launching_call,
    operation_table,
    range_kinds,
)

ROWS_PER_STEP = 64  # on the average; steps with more make the ring hold fewer of them
NO_DEVICE = Device(0, 0, "not timed")


class Kept(NamedTuple):
    """The rows of one stretch."""

    steps: Columns
    calls: Columns
    phases: Columns
    operations: Columns

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return sum(next(iter(table.values())).size for table in self)


class Watched(NamedTuple):
    """What a recording says of how it was made."""

    way: str
    limits: tuple[str, ...]  # what the way cannot see
    engine: str
    version: str
    rank: int | None
    steps_in_phases: bool  # phases say for which step they are (our own engine)
    # The host has worked for a step before it begins: an engine's hooks tell of it late.
    steps_begin_late: bool = False
    overlaps: bool = False  # the engine's own setting: batching is asynchronous


class Ring:
    """Holds the rows of the last so many steps."""

    def __init__(self, steps: int) -> None:
        self._most_steps = steps
        self._kept: deque[Kept] = deque()
        self._steps = 0
        self._rows = 0

    def add(self, taken: Taken, operations: Columns) -> None:
        """Add rows, and forget the oldest where there are enough without them."""
        kept = Kept(*taken, operations)
        if not kept.rows:
            return
        self._kept.append(kept)
        self._count(kept, 1)
        while len(self._kept) > 1 and self._is_full():
            self._count(self._kept.popleft(), -1)

    def _count(self, kept: Kept, sign: int) -> None:
        self._steps += sign * kept.steps["number"].size
        self._rows += sign * kept.rows

    def _is_full(self) -> bool:
        without_oldest = self._steps - self._kept[0].steps["number"].size
        too_many_rows = self._rows > self._most_steps * ROWS_PER_STEP
        return without_oldest >= self._most_steps or too_many_rows

    def tables(self, steps: int | None = None) -> Kept:
        """Return the rows of the last so many steps, of all unless told."""
        kept = list(self._kept)  # another thread may add to it meanwhile
        count = self._most_steps if steps is None else min(steps, self._most_steps)
        fields = (STEP_FIELDS, CALL_FIELDS, PHASE_FIELDS, OPERATION_FIELDS)
        tables = [
            joined([row_table((), names), *(part[place] for part in kept)])
            for place, names in enumerate(fields)
        ]
        step_rows = tables[0]
        numbers = np.sort(step_rows["number"])
        if numbers.size > count:
            last_steps = step_rows["number"] >= numbers[-count]
            start = int(step_rows["start"][last_steps].min())
            tables = [chosen(table, table["start"] >= start) for table in tables]
        return Kept(*tables)


def trace_of(
    kept: Kept,
    until: int,
    names: tuple[str, ...],
    operation_names: tuple[str, ...],
    device: Device | None,
    watched: Watched,
    unix_offset_ns: int,
) -> Trace:
    """Return the Trace of some rows, up to a time at which everything is known.

    Its times begin with the first row. `unix_offset_ns` is the wall clock less the steady one.
    """
    tables = [chosen(table, table["start"] < until) for table in kept]
    own_call_starts = tables[-1]["call_start"]
    times = [table["start"] for table in tables]
    times.append(own_call_starts[own_call_starts > 0])
    zero = min((int(starts.min()) for starts in times if starts.size), default=0)
    steps, calls, phases, operations = (_from_zero(table, zero) for table in tables)
    interner: Interner[str] = Interner()
    name_codes = interner.codes(names).astype(np.int64)
    trace_calls, correlation = _calls(calls, operations, name_codes, interner)
    phases = joined((phases, launch_spans(calls, operations)))
    span_codes = interner.codes([name.removeprefix(LAUNCH_PREFIX) for name in names])
    ranges = _ranges(
        steps, phases, span_codes.astype(np.int64), interner, watched.steps_in_phases
    )
    counters = _counters(steps, interner)
    op_names = _operation_names(operations, operation_names, calls, names, interner)
    streams, stream = np.unique(operations["stream"], return_inverse=True)
    return Trace(
        operations=operation_table(operations).replace(
            stream=stream, name=op_names, correlation=correlation
        ),
        calls=trace_calls.take(np.argsort(trace_calls.start, kind="stable")),
        ranges=ranges.take(np.argsort(ranges.start, kind="stable")),
        counters=counters.take(np.argsort(counters.time, kind="stable")),
        names=interner.values(),
        devices=(device or NO_DEVICE,),
        streams=tuple(f"stream {number}" for number in streams.tolist()) or ("stream 0",),
        threads=(Thread(0, "loop"),),
        meta=_metadata(watched, zero + unix_offset_ns),
    )


def _from_zero(table: Columns, zero: int) -> Columns:
    shifted = {name: table[name] - zero for name in ("start", "end")}
    for name in ("call_start", "call_end"):
        if name in table:
            shifted[name] = np.where(table["call_start"] > 0, table[name] - zero, -1)
    return table | shifted


def _calls(
    calls: Columns, operations: Columns, name_codes: Int64, interner: Interner[str]
) -> tuple[Calls, Int64]:
    """Return the loop's calls and those known of single operations; how operations name theirs.

    An operation names its own call by a number that no launch call of the loop has. A launch call
    of the loop stays where an operation names it, or where nothing is known to have come of it.
    """
    has_own = operations["call_start"] >= 0
    replaced = np.isin(calls["launch"], operations["launch"][has_own])
    replaced &= ~np.isin(calls["launch"], operations["launch"][~has_own])
    calls = chosen(calls, ~replaced | (calls["launch"] == 0))

    own = np.flatnonzero(has_own)
    numbers = np.concatenate((calls["launch"], operations["launch"]))
    correlation = operations["launch"].copy()
    correlation[own] = int(numbers.max(initial=0)) + 1 + np.arange(own.size)
    kind_codes = interner.codes(
        [f"{LAUNCH_PREFIX}{kind.name.lower()}" for kind in OperationKind]
    )
    own_names = np.asarray(kind_codes, np.int64)[operations["kind"][own]]
    return (
        Calls.of(
            start=np.concatenate((calls["start"], operations["call_start"][own])),
            end=np.concatenate((calls["end"], operations["call_end"][own])),
            thread=np.zeros(calls["start"].size + own.size),
            name=np.concatenate((name_codes[calls["name"]], own_names)),
            correlation=np.concatenate((calls["launch"], correlation[own])),
        ),
        correlation,
    )


def _ranges(
    steps: Columns,
    phases: Columns,
    name_codes: Int64,
    interner: Interner[str],
    steps_in_phases: bool,
) -> Ranges:
    """Return phases, and a range around each step unless the phases say for which step they are."""
    phase_step = phases["step"] if steps_in_phases else np.full(phases["step"].size, -1)
    step_rows = chosen(steps, np.zeros(0, np.int64)) if steps_in_phases else steps
    said = np.column_stack([step_rows[name] for name in ("kind", "requests", "tokens")])
    kinds_of_step, name_of_step = np.unique(said, axis=0, return_inverse=True)
    step_names = interner.codes(
        f"idlescope:step[{STEP_KINDS[kind]} requests={requests} tokens={tokens}]"
        for kind, requests, tokens in kinds_of_step.tolist()
    )[name_of_step.ravel()]
    count = len(step_names) + phases["start"].size
    step_kinds = np.full(len(step_names), RangeKind.ANNOTATION)
    return Ranges.of(
        start=np.concatenate((step_rows["start"], phases["start"])),
        end=np.concatenate((step_rows["end"], phases["end"])),
        thread=np.zeros(count),
        name=np.concatenate((step_names, name_codes[phases["name"]])),
        kind=np.concatenate((step_kinds, range_kinds(phases["name"]))),
        step=np.concatenate((np.full(len(step_names), -1), phase_step)),
    )


def _counters(steps: Columns, interner: Interner[str]) -> Counters:
    """Return the tokens and requests of each step, where the engine says them."""
    said = chosen(steps, (steps["tokens"] > 0) | (steps["kind"] == StepKind.EMPTY.code))
    count = said["end"].size
    codes = interner.codes((RUNNING, TOKENS))
    return Counters.of(
        time=np.repeat(said["end"], 2),
        name=np.tile(codes, count),
        value=np.column_stack((said["requests"], said["tokens"])).ravel(),
    )


def _operation_names(
    operations: Columns,
    operation_names: tuple[str, ...],
    calls: Columns,
    names: tuple[str, ...],
    interner: Interner[str],
) -> Int64:
    """Return the code of each operation's name: its own, or that of the call that launched it."""
    call = launching_call(calls, operations["launch"])
    call_name = np.append(calls["name"], len(names))[call]  # the last: no call is known
    own_name = operations["name"]
    has_own = own_name >= 0
    launched_as = [*(name.removeprefix(LAUNCH_PREFIX) for name in names), "work"]
    codes = np.empty(own_name.size, np.int64)
    codes[has_own] = _codes_of(own_name[has_own], operation_names, interner)
    codes[~has_own] = _codes_of(call_name[~has_own], launched_as, interner)
    return codes


def _codes_of(rows: Int64, texts: Sequence[str], interner: Interner[str]) -> Int64:
    """Return the codes of texts that are given by their places; others are not added."""
    used, place = np.unique(rows, return_inverse=True)
    codes = interner.codes(texts[row] for row in used.tolist())
    return codes.astype(np.int64)[place.ravel()]


def _metadata(watched: Watched, base_time_ns: int) -> Metadata:
    said = WatchSaid(
        way=watched.way,
        engine=watched.engine,
        engine_version=watched.version,
        tool_version=__version__,
        steps_begin_late=watched.steps_begin_late,
        overlaps=watched.overlaps,
    )
    distributed = {} if watched.rank is None else {"rank": watched.rank}
    return Metadata(
        format="recording",
        base_time_ns=base_time_ns,
        measured=True,
        warnings=tuple(f"watched by {watched.way}: {limit}" for limit in watched.limits),
        distributed=distributed,
        extra=said.to_extra(),
    )
