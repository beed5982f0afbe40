"""Times what launch calls issue by pairs of CUDA events, which are asked about later."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from itertools import count
from typing import Any

import numpy as np

from idlescope.trace.model import Device, OperationKind
from idlescope.watching.ways.base import Ended
from idlescope.watching.ways.cuda_calls import CudaCalls
from idlescope.watching.ways.event_clock import LONGEST_NS, EventClock

PAIRS = 4_096  # in flight at most: launch calls beyond them are not timed
# How long after a launch call began `ended` surely knows of it: the interpreter may switch threads
# (every 5 ms) between the reading of the clock and the noting of the call.
NOTED_NS = 20_000_000

FIELDS = ("launch", "stream", "start", "end")
LIMITS = (
    "what one launch call issued is one operation: kernels within it, and gaps between them, "
    "were not seen",
    "copies and kernels issued outside of launch calls were not seen",
)


class Pair:
    """Two timed events around what a launch call issued."""

    __slots__ = ("first", "last", "launch", "start_ns", "stream")

    def __init__(self, first: Any, last: Any) -> None:
        self.first = first
        self.last = last
        self.launch = 0
        self.start_ns = 0  # of the call
        self.stream: Any = None


class EventsWay:
    """Implements `DeviceWay` by timed events: nothing of the engine's is ever waited for.

    A launch call while its stream is being captured is left alone. `lost` counts the calls that
    were not timed since too many were in flight.
    """

    name = "events"
    tells_communication = False
    names: tuple[str, ...] = ()
    limits = LIMITS

    def __init__(self, device: int | None = None, calls: CudaCalls | None = None) -> None:
        self._calls = CudaCalls(device) if calls is None else calls
        self.device: Device | None = Device(
            0, self._calls.index, self._calls.name(), "", self._calls.identity()
        )
        self._clock = EventClock(self._calls)
        event = self._calls.event
        self._free = [Pair(event(), event()) for _ in range(PAIRS)]
        self._pending: deque[Pair] = deque()
        self._open: Pair | None = None
        self._open_start = 0  # of the call whose pair is open; 0: none is
        self._numbers: defaultdict[int, int] = defaultdict(count().__next__)  # of streams
        self.lost = 0

    def begin(self, launch: int, start_ns: int) -> None:
        """Record an event before what the call issues."""
        calls = self._calls
        if calls.capturing():
            return
        if not self._free:
            self.lost += 1
            return
        self._open_start = start_ns
        pair = self._free.pop()
        pair.launch, pair.start_ns = launch, start_ns
        pair.stream = stream = calls.stream()
        pair.first.record(stream)
        self._open = pair

    def end(self, launch: int) -> None:
        """Record an event behind what the call issued."""
        pair = self._open
        if pair is None:
            return
        self._open = None
        if self._calls.capturing():  # the capture began within the call
            self._free.append(pair)
        else:
            pair.last.record(pair.stream)
            self._pending.append(pair)
        self._open_start = 0

    def ended(self) -> Ended:
        """Return the calls whose work has ended; only those are asked about that come first."""
        known_ns = time.perf_counter_ns() - NOTED_NS
        open_start = self._open_start
        with self._calls.beside_captures():
            rows = self._rows()
        if open_start:
            known_ns = min(known_ns, open_start)
        if self._pending:
            known_ns = min(known_ns, self._pending[0].start_ns)
        return _columns(rows, known_ns)

    def now(self) -> int:
        """Return the host's time."""
        return time.perf_counter_ns()

    def close(self) -> None:
        """Forget all events: those in flight are destroyed when they have happened."""
        self._open = None
        self._pending.clear()
        self._free.clear()

    def _rows(self) -> list[int]:
        """Take the pairs that have happened off the queue; their FIELDS, one behind the other."""
        rows: list[int] = []
        anchor = self._clock.keep()
        pending = self._pending
        # Calls are numbered in the order in which they were issued, but streams end theirs in any.
        still_pending: list[Pair] = []
        busy_streams = set()
        for _ in range(len(pending)):
            pair = pending.popleft()
            stream = self._numbers[pair.stream.stream_id]
            if anchor is None or stream in busy_streams or not pair.last.query():
                busy_streams.add(stream)
                still_pending.append(pair)
                continue
            start, end = anchor.time_of(pair.first), anchor.time_of(pair.last)
            # Nothing begins before it was issued: what says so is the anchor's uncertainty.
            if anchor.uncertain_ns <= LONGEST_NS:
                start = max(start, pair.start_ns)
            rows += (pair.launch, stream, start, max(end, start))
            self._free.append(pair)
        pending.extendleft(reversed(still_pending))
        return rows


def _columns(rows: list[int], until_ns: int) -> Ended:
    """Return the columns of rows of FIELDS."""
    launch, stream, start, end = np.array(rows, np.int64).reshape(-1, len(FIELDS)).T
    return Ended(
        launch=launch,
        stream=stream,
        kind=np.full(launch.size, OperationKind.GRAPH.value),
        name=np.full(launch.size, -1),
        start=start,
        end=end,
        communication=np.zeros(launch.size, np.bool_),
        until_ns=until_ns,
    )
