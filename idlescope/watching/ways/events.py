"""Times what launch calls issue by pairs of CUDA events, which are asked about later."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict, deque
from itertools import count
from typing import Any

import numpy as np

from idlescope.analysis.intervals import percent
from idlescope.trace.model import Device, OperationKind
from idlescope.watching import turns
from idlescope.watching.ways.base import Ended
from idlescope.watching.ways.cuda_calls import CudaCalls
from idlescope.watching.ways.event_clock import Anchor, EventClock

PAIRS = 4_096  # in flight at most: launch calls beyond them are not timed
# How long after a launch call began `ended` surely knows of it: the interpreter may switch threads
# (every 5 ms) between the reading of the clock and the noting of the call.
NOTED_NS = 20_000_000

FIELDS = ("launch", "stream", "issued", "returned")
PIECE = 256  # pairs that are read at once
# Within a launch call that issues one graph that is its launch (5 % of a step of 1B on an H200);
# of prompts, whose kernels are issued one by one, up to all of it.
MUCH_PCT = 10
MUCH = (
    "; for {:.0f} % of the busy time the host was still issuing: as much of it may be idle"
)
LIMITS = (
    "what one launch call issued is one operation: kernels within it, and gaps between them, "
    "were not seen, and count as busy",
    "copies and kernels issued outside of launch calls were not seen: they count as idle, and what "
    "waits for them as launch latency or queued",
)


class Pair:
    """Two timed events around what a launch call issued; made once and used again."""

    __slots__ = ("end_ns", "first", "last", "launch", "start_ns", "stream")

    def __init__(self, first: Any, last: Any) -> None:
        self.first = first
        self.last = last
        self.launch = 0
        self.start_ns = self.end_ns = 0  # of the call
        self.stream: Any = None


class EventsWay:
    """Implements `DeviceWay` by timed events: nothing of the engine's is ever waited for.

    A launch call while its stream is being captured is left alone. `lost` counts the calls that
    were not timed since too many were in flight.
    """

    name = "events"
    tells_communication = False
    names: tuple[str, ...] = ()
    why_not = ""  # another way was not used, which was asked for

    def __init__(self, device: int | None = None, calls: CudaCalls | None = None) -> None:
        self._calls = CudaCalls(device) if calls is None else calls
        self.device: Device | None = Device(
            0, self._calls.index, self._calls.name(), "", self._calls.identity()
        )
        self._clock = EventClock(self._calls)
        event = self._calls.event
        self._free = [Pair(event(), event()) for _ in range(PAIRS)]
        with self._calls.beside_captures():
            self._clock.keep()  # an engine is quiet before its first step: it is exact
            self._make_events()
        self._pending: deque[Pair] = deque()
        self._open: Pair | None = None
        self._open_start = 0  # of the call whose pair is open; 0: none is
        self._numbers: defaultdict[int, int] = defaultdict(count().__next__)  # of streams
        self._capturing, self._stream = self._calls.capturing, self._calls.stream
        self._record = self._calls.record
        self.lost = 0
        self._busy_ns = 0  # of what has ended
        self._issuing_ns = 0  # of that, while its launch call had not returned

    @property
    def limits(self) -> tuple[str, ...]:
        """Return what it cannot see, and how much that may be, where it is much."""
        one_operation, *others = LIMITS
        issuing_pct = percent(self._issuing_ns, self._busy_ns)
        if issuing_pct >= MUCH_PCT:
            one_operation += MUCH.format(issuing_pct)
        found = (one_operation, *others)
        return (self.why_not, *found) if self.why_not else found

    def _make_events(self) -> None:
        """Record all events once: torch makes one of CUDA at its first record, not in the loop."""
        stream = self._calls.own_stream()
        for pair in self._free:
            self._calls.record(pair.first, stream)
            self._calls.record(pair.last, stream)

    def begin(self, launch: int, start_ns: int) -> None:
        """Record an event before what the call issues."""
        if self._capturing():
            return
        if not self._free:
            self.lost += 1
            return
        self._open_start = start_ns
        pair = self._free.pop()
        pair.launch, pair.start_ns = launch, start_ns
        pair.stream = stream = self._stream()
        self._record(pair.first, stream)
        self._open = pair

    def end(self, launch: int) -> None:
        """Record an event behind what the call issued."""
        pair = self._open
        if pair is None:
            return
        self._open = None
        if self._capturing():  # the capture began within the call
            self._free.append(pair)
        else:
            self._record(pair.last, pair.stream)
            pair.end_ns = time.perf_counter_ns()
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
        return rows._replace(until_ns=known_ns)

    def now(self) -> int:
        """Return the host's time."""
        return time.perf_counter_ns()

    def close(self) -> None:
        """Forget all events: those in flight are destroyed when they have happened."""
        self._open = None
        self._pending.clear()
        self._free.clear()

    def _happened(self) -> list[Pair]:
        """Take the pairs that have happened off the queue, those of a stream in their order.

        A stream ends what it is given in order, so few have to be asked about.
        """
        pairs = [self._pending.popleft() for _ in range(len(self._pending))]
        happened: list[Pair] = []
        still_pending: list[Pair] = []
        for stream in {pair.stream for pair in pairs}:
            of_stream = [pair for pair in pairs if pair.stream is stream]
            count = bisect_left(of_stream, True, key=_is_in_flight)
            happened += of_stream[:count]
            still_pending += of_stream[count:]
        # Calls are numbered in the order in which they were issued.
        still_pending.sort(key=lambda pair: pair.launch)
        self._pending.extendleft(reversed(still_pending))
        return happened

    def _rows(self) -> Ended:
        """Return the launch calls that have ended, times in columns."""
        anchor = self._clock.keep()
        if anchor is None:
            return Ended.nothing(0)
        elapsed_ms, anchor_event = self._calls.elapsed_ms, anchor.event
        rows: list[int] = []
        elapsed: list[float] = []  # milliseconds from the anchor to a pair's events
        happened = self._happened()
        for first in range(0, len(happened), PIECE):
            for pair in happened[first : first + PIECE]:
                stream = self._numbers[pair.stream.stream_id]
                rows += (pair.launch, stream, pair.start_ns, pair.end_ns)
                elapsed.append(elapsed_ms(anchor_event, pair.first))
                elapsed.append(elapsed_ms(anchor_event, pair.last))
            turns.pause()
        self._free += happened
        ended, issuing_ns = _columns(rows, elapsed, anchor)
        self._busy_ns += int((ended.end - ended.start).sum())
        self._issuing_ns += issuing_ns
        return ended


def _is_in_flight(pair: Pair) -> bool:
    return not pair.last.query()


def _columns(rows: list[int], elapsed: list[float], anchor: Anchor) -> tuple[Ended, int]:
    """Return the columns of rows of FIELDS, whose events happened so long after the anchor.

    And how much of their time lies before their calls had returned: the device may have waited for
    more then.
    """
    launch, stream, issued, returned = np.array(rows, np.int64).reshape(-1, len(FIELDS)).T
    since_anchor = np.rint(1e6 * np.array(elapsed)).astype(np.int64).reshape(-1, 2)
    start, end = (anchor.host_ns + since_anchor).T
    # Nothing begins before it was issued: by so much the anchor is early, or has drifted since.
    behind_ns = max(0, int((issued - start).max(initial=0)))
    start, end = start + behind_ns, end + behind_ns
    end = np.maximum(end, start)
    issuing = np.maximum(np.minimum(end, returned) - start, 0)
    ended = Ended.nothing(0)._replace(
        launch=launch,
        stream=stream,
        kind=np.full(launch.size, OperationKind.GRAPH.value),
        name=np.full(launch.size, -1),
        start=start,
        end=end,
        communication=np.zeros(launch.size, np.bool_),
    )
    return ended, int(issuing.sum())
