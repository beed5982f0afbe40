"""Times all that a device does by the records of CUPTI: one a kernel, a copy, a graph launch."""

from __future__ import annotations

import time
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from idlescope.trace.model import Device, OperationKind
from idlescope.trace.table import Bool
from idlescope.watching import turns
from idlescope.watching.safety import LOGGER
from idlescope.watching.ways import profiler_turns
from idlescope.watching.ways.base import Ended
from idlescope.watching.ways.cupti import EARLY, Completed, Cupti, CuptiError
from idlescope.watching.ways.cupti_records import (
    CallRecords,
    DeviceRecords,
    RecordSizes,
    call_records,
    device_records,
    joined_calls,
    joined_operations,
)
from idlescope.watching.ways.events import NOTED_NS, EventsWay
from idlescope.watching.ways.graph_captures import CAPTURES
from idlescope.watching.ways.kernel_names import KernelNames
from idlescope.watching.ways.launch_calls import Issued, LaunchCalls
from idlescope.watching.ways.record_clock import RecordClock

LIMITS = ("what ran within a CUDA graph is one operation",)
# Measured on an H200 (tests/gpu/api_calls.py).
EVERY_CALL = (
    "CUDA had a context before the watch began: each of its calls takes 0.3 to 4 µs longer"
)
SLOWED = (
    "while CUPTI records, launching a CUDA graph takes {:.2f} ms, several times as long as "
    "otherwise: a host that is not hidden is slower by most of that; by events it is not"
)
# Without CUPTI 5 to 14 us for 400 kernels on an H200, with it 0.1 to 0.2 us for each of them
# (tests/gpu/graph_launch.py); whole launch calls of servers by events 50 to 120 us.
SLOW_GRAPH_LAUNCH_NS = 80_000
DROPPED = "{:,} times CUPTI had no room for more records: what ran then counts as idle"
TIMELESS = "{:,} records of CUPTI came without times: what they are of counts as idle"
# Of the records that come at once, so many without times: no more will have any. With CUDA graphs
# CUPTI 13.0 ends so after 25 million records of their kernels (parca-dev/parcagpu#23); with one a
# graph, as here, it did not within 32 million kernels (tests/gpu/many_records.py).
MANY_TIMELESS, MOST_TIMELESS = 100, 0.1
# Work of a launch call has ended so long after it returned, where no record of it is to come.
OVER_NS = 5_000_000_000
# Another tool has taken CUPTI where so long no record came although so much was launched.
SILENT_NS, SILENT_LAUNCHES = 10_000_000_000, 200
AHEAD_NS = 10_000_000  # a record so far out of its time is on another clock
# So many operations without the record of a call: none will come, whatever CUPTI said.
CALLS_MISSED = 2_000
FEW_WITHOUT_CALL, ENOUGH_CAME = 0.01, 1_000  # of operations, where single calls are chosen
BUFFERS_AT_ONCE = 8  # a millisecond of work
TOO_LATE = (
    "there are CUDA graphs already, of which CUPTI cannot begin to tell: begin the watch before "
    "the first capture"
)


class Records(NamedTuple):
    """What the buffers of one answer held, on the host's clock."""

    operations: DeviceRecords
    calls: CallRecords


NO_RECORDS = Records(joined_operations([]), joined_calls([]))


class ActivityWay:
    """Implements `DeviceWay` by CUPTI, which serves one tool at a time.

    While torch.profiler records, launch calls are timed by events instead; where another tool took
    CUPTI, from then on. Raises CuptiError where one has it already or there are CUDA graphs,
    ConfigError where there is no CUPTI or no device.
    """

    name = "activity"
    tells_communication = True

    def __init__(
        self,
        device: int | None = None,
        cupti: Cupti | None = None,
        events: EventsWay | None = None,
    ) -> None:
        if CAPTURES.exist():
            raise CuptiError(TOO_LATE)
        self._events = EventsWay(device) if events is None else events
        self.device: Device | None = self._events.device
        assert self.device is not None
        self._index = self.device.index
        early = EARLY.take() if cupti is None else None
        self._cupti = early or cupti or Cupti()
        self._clock = RecordClock(self._cupti.now)
        self._since_ns = time.perf_counter_ns() - AHEAD_NS  # no record is older
        self._sizes = RecordSizes()
        self._kernels = KernelNames()
        self._launches = LaunchCalls()
        self._held = joined_operations([])  # operations whose calls have not come yet
        self._open = (0, 0)  # launch call that has not returned: number, start
        self._without_call = 0  # operations since the last of which the call was known
        self._newest_seen = 0  # launch call of the newest operation that came
        self._until_ns = 0
        self._heard_ns = time.perf_counter_ns()  # when records came last
        self._begun = self._begun_when_heard = 0  # launch calls
        self._came = self._came_without_call = 0  # while single calls are chosen
        self._timeless = 0  # records without times
        self._times_are_over = False
        if early is None:
            self._cupti.start()
        else:
            early.forget()
        CAPTURES.follow()
        self._captured = 0  # before CUPTI was given away
        self._away = False  # another tool has CUPTI
        self._graph_call_ns = 0  # how long launching a graph took of late
        self._turns = Lock()  # between the thread that settles and the one that profiles
        self._left = NO_RECORDS  # that came when CUPTI was given away
        profiler_turns.take_turns(self)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of operations so far."""
        return tuple(self._kernels.names)

    @property
    def limits(self) -> tuple[str, ...]:
        """Return what it cannot see or missed; and what CUPTI makes longer, where that is much."""
        found = list(LIMITS)
        if self._cupti.records_calls and not self._cupti.chose_calls:
            found.append(EVERY_CALL)
        if self._graph_call_ns > SLOW_GRAPH_LAUNCH_NS:
            found.append(SLOWED.format(self._graph_call_ns / 1e6))
        if self._cupti.buffers.refused:
            found.append(DROPPED.format(self._cupti.buffers.refused))
        if self._timeless:
            found.append(TIMELESS.format(self._timeless))
        return tuple(found)

    def begin(self, launch: int, start_ns: int) -> None:
        """Note the call: CUPTI records what it issues."""
        self._begun += 1
        self._open = (launch, start_ns)
        if self._away:
            self._events.begin(launch, start_ns)

    def end(self, launch: int) -> None:
        """Note that the call has returned."""
        number, start = self._open
        self._launches.note(number, start, time.perf_counter_ns())
        self._open = (0, 0)
        self._events.end(launch)  # nothing where it did not begin there

    def ended(self) -> Ended:
        """Return the operations whose records are complete, and what events timed meanwhile."""
        by_events = self._events.ended()
        with self._turns:
            by_records = self._by_records()
        return by_events if by_records is None else _both(by_records, by_events)

    def _by_records(self) -> Ended | None:
        """Return what records tell; None: there are none while another tool has CUPTI."""
        flush_ns = time.perf_counter_ns()
        records, self._left = self._left, NO_RECORDS
        if self._away and not records.operations.start.size:
            self._launches.take_notes()
            return None
        if not self._away:
            self._cupti.flush()
            self._clock.tie()
            if self._clock.is_known():
                records = _joined(records, self._take())
        turns.pause()
        by_records = self._attributed(records, flush_ns)
        if not self._away and self._times_are_over:
            self._give_up("records of CUPTI have no times any more")
            self._stop()
        elif not self._away and flush_ns - self._heard_ns > SILENT_NS:
            self._look_for_silence()
        return by_records

    def now(self) -> int:
        """Return the host's time."""
        return time.perf_counter_ns()

    def close(self) -> None:
        """Give CUPTI back."""
        profiler_turns.leave_turns(self)
        self.give_way()
        self._events.close()

    def give_way(self) -> None:
        """Leave CUPTI to another tool: events time what is launched from now on.

        What was recorded is taken at once: the other may set the clock of the records.
        """
        with self._turns:
            if not self._away:
                self._away = True
                self._captured = CAPTURES.captured
                self._stop()

    def come_back(self) -> None:
        """Take CUPTI again, unless another tool has it still or graphs were made meanwhile."""
        with self._turns:
            if not self._away:
                return
            try:
                if CAPTURES.captured != self._captured:
                    raise CuptiError(TOO_LATE)
                self._cupti.start()
            except CuptiError as error:
                LOGGER.warning("timing by events from here on: %s", error)
                return
            self._clock = RecordClock(self._cupti.now)  # the other may have set its clock
            self._heard_ns, self._begun_when_heard = time.perf_counter_ns(), self._begun
            self._since_ns = self._heard_ns - AHEAD_NS
            self._away = False

    def _look_for_silence(self) -> None:
        """Give way to a tool that took CUPTI without a word."""
        if self._begun - self._begun_when_heard > SILENT_LAUNCHES:
            self._give_up("no records of CUPTI come any more")

    def _give_up(self, reason: str) -> None:
        """Time by events for good."""
        LOGGER.warning("%s: timing by events from here on", reason)
        profiler_turns.leave_turns(self)
        self._away = True

    def _stop(self) -> None:
        """Turn CUPTI off, and keep what it had recorded."""
        self._clock.tie()
        self._cupti.stop()
        self._left = _joined(self._left, self._take())

    def _take(self) -> Records:
        """Take the buffers that are complete; return their records on the host's clock."""
        completed = self._cupti.buffers.completed
        operation_parts, call_parts = [], []
        for taken in range(len(completed)):
            if taken % BUFFERS_AT_ONCE == BUFFERS_AT_ONCE - 1:
                turns.pause()
            operations, calls = self._parsed(completed.popleft())
            operation_parts.append(operations)
            call_parts.append(calls)
        operations, calls = joined_operations(operation_parts), joined_calls(call_parts)
        operations = operations.only(operations.device == self._index)
        timed = operations.timed
        self._count_timeless(timed)
        operations = operations.only(timed)
        host = self._clock.host
        operations = operations._replace(
            start=host(operations.start), end=host(operations.end)
        )
        calls = calls._replace(start=host(calls.start), end=host(calls.end))
        # Made before another tool set the clock: when that was cannot be told.
        latest = time.perf_counter_ns() + AHEAD_NS
        possible = (operations.start >= self._since_ns) & (operations.end <= latest)
        return Records(operations.only(possible), calls)

    def _count_timeless(self, timed: Bool) -> None:
        """Count the operations that have no times, of those that came at once."""
        timeless = int(timed.size - timed.sum())
        self._timeless += timeless
        if timeless > max(MANY_TIMELESS, MOST_TIMELESS * timed.size):
            self._times_are_over = True

    def _parsed(self, completed: Completed) -> tuple[DeviceRecords, CallRecords]:
        """Return the records of a buffer, and give it back."""
        offsets = self._sizes.offsets(
            completed.buffer,
            completed.valid,
            lambda offset: self._cupti.record_size(completed, offset),
        )
        operations = device_records(completed.buffer, offsets)
        calls = call_records(completed.buffer, offsets)
        self._cupti.buffers.give_back(completed.address)
        return operations, calls

    def _attributed(self, records: Records, flush_ns: int) -> Ended:
        """Return the operations with the launch calls that issued them, where those are known."""
        launches = self._launches
        open_launch, open_start = self._open
        launches.take_notes()
        launches.add_calls(records.calls, open_launch, open_start)
        operations = joined_operations([self._held, records.operations])
        held_before = self._held.start.size
        if operations.start.size:
            self._heard_ns, self._begun_when_heard = flush_ns, self._begun
        issued = launches.of(operations.correlation)
        launch, known = issued.launch, issued.known
        self._without_call += int(known.size - known.sum())
        if known.any():
            self._without_call = 0
        if not self._cupti.records_calls or self._without_call > CALLS_MISSED:
            # the order must do
            launch = launches.before(operations.start, open_launch, open_start)
            known = np.ones_like(known)
        self._look_for_calls(known, held_before)
        # An operation may come before its call does: it is held back once.
        known[:held_before] = True
        self._held = operations.only(~known)
        operations = operations.only(known)
        issued = issued._replace(launch=launch).only(known)
        return self._answer(operations, issued, flush_ns)

    def _look_for_calls(self, known: Bool, held_before: int) -> None:
        """Have whole kinds of calls recorded where chosen ones leave operations without theirs.

        `known` says of which operations the call has come; the first `held_before` come again.
        """
        if self._cupti.chose_calls:
            self._came += known.size - held_before
            self._came_without_call += held_before - int(known[:held_before].sum())
            most = FEW_WITHOUT_CALL * max(self._came, ENOUGH_CAME)
            if self._came_without_call > most:
                LOGGER.info(
                    "CUPTI leaves out calls that were chosen: every call is recorded"
                )
                self._cupti.record_every_call()

    def _answer(self, operations: DeviceRecords, issued: Issued, flush_ns: int) -> Ended:
        launch = issued.launch
        if launch.size:
            self._newest_seen = max(self._newest_seen, int(launch.max()))
        of_graphs = (operations.kind == OperationKind.GRAPH) & (issued.start > 0)
        if of_graphs.any():
            call_ns = issued.end[of_graphs] - issued.start[of_graphs]
            self._graph_call_ns = int(np.median(call_ns))
        name = self._kernels.codes(operations.kind, operations.name)
        return Ended(
            launch=launch,
            stream=operations.stream,
            kind=operations.kind,
            name=name,
            start=operations.start,
            end=operations.end,
            communication=self._kernels.communicates(name),
            until_ns=self._complete_until(flush_ns),
            call_start=issued.start,
            call_end=issued.end,
        )

    def _complete_until(self, flush_ns: int) -> int:
        """Return until when every operation has come."""
        newest, returned_ns = self._launches.newest()
        nothing_open = not self._open[0]
        over = nothing_open and flush_ns - returned_ns > OVER_NS
        if not self._cupti.buffers.out and not self._held.start.size:
            until_ns = flush_ns - NOTED_NS
        elif over and self._newest_seen == newest:
            until_ns = flush_ns - OVER_NS
        else:  # buffers come in order: all of the launch calls before the newest seen is there
            start = self._launches.start_of(self._newest_seen)
            until_ns = self._until_ns if start is None else start
        self._until_ns = max(self._until_ns, until_ns)
        return self._until_ns


def _joined(first: Records, second: Records) -> Records:
    """Return the rows of both."""
    return Records(
        joined_operations([first.operations, second.operations]),
        joined_calls([first.calls, second.calls]),
    )


def _both(first: Ended, second: Ended) -> Ended:
    """Return the rows of both answers, which are complete until the earlier of their times."""

    def joined(field: str) -> Any:
        return np.concatenate((getattr(first, field), getattr(second, field)))

    call_start, call_end = np.concatenate((first.call_times(), second.call_times()), axis=1)
    return Ended(
        launch=joined("launch"),
        stream=joined("stream"),
        kind=joined("kind"),
        name=joined("name"),
        start=joined("start"),
        end=joined("end"),
        communication=joined("communication"),
        until_ns=min(first.until_ns, second.until_ns),
        call_start=call_start,
        call_end=call_end,
    )
