"""Records that cannot be right: operations that last too long, and clocks that disagree.

Operations of one stream run one after the other, so one that overlaps a later one of its stream by
more than a rounding has a corrupt duration (met with ROCm: TraceLens#669, Hyperloom#1116). And a
call that waits for the device cannot return before what it waits for has ended. Where it seems to,
a single operation is corrupt; where most waits seem to, the clocks disagree.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.occupancy import Occupancy
from idlescope.analysis.intervals import BEFORE_EVERYTHING
from idlescope.analysis.steps.waited_for import BLOCKED_NS
from idlescope.analysis.verdict.followed import WAKE_UP_NS
from idlescope.analysis.verdict.outlying import outlying
from idlescope.analysis.verdict.returned_early import waits_for_operations
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Calls, OperationKind, Operations
from idlescope.trace.names.calls import GRAPH_LAUNCH, LAUNCH, matching
from idlescope.trace.table import Bool, Int64
from idlescope.trace.watch_said import said_by_watch

# The largest true overlap within a stream in 46 public traces was 13 µs.
OVERLAP_NS = 100_000
MOST = 0.5  # share of the waits from which on it is the clocks
CLOCK_NS = 50_000  # less than this is within what two clocks are aligned to
LAUNCH_NS = 200_000  # a launch on an idle device takes 4 to 12 µs in the real traces
MANY_LAUNCHES = 10
IDLE_NS = 50_000  # a gap that is longer is none between kernels that follow one another
FEWEST = 3  # records that make a habit
# After the end of the copy that they waited for, calls returned within 4 to 22 µs in recordings of
# vLLM, SGLang and transformers' asynchronous loop on H200s (medians).
RETURNED_NS = 100_000
ISSUING = 0.9  # of an operation, for which the call that issued it had not returned


class Corruption(Struct, frozen=True):
    """What cannot be right in one device's records."""

    rows: Int64  # of the device's operations, ascending: durations that are too long
    longest_ns: int  # the longest of them, as recorded
    overlapping: int  # of them, those that overlap a later one of their stream
    clock_ns: (
        int  # how far the device's clock is ahead of the host's, at least; < 0: behind
    )
    clock_records: int  # how many records show that
    # of the one row, of a watch by events: a launch call that lasted as long; 0: it is none
    issuing_ns: int = 0
    slow_to_begin: bool = (
        False  # what they show is launches on an idle device that begin late
    )

    @property
    def text(self) -> str:
        """Return the corrupt durations in a sentence; empty where there are none."""
        if not self.rows.size:
            return ""
        if self.issuing_ns:
            return (
                f"One launch call lasted {self.issuing_ns / 1e6:,.1f} ms, as where something is "
                "compiled or loaded in it: of what it issued only the beginning and the end are "
                "known, and the device may have been idle for most of it."
            )
        longest_ms = f"{self.longest_ns / 1e6:,.1f} ms"
        only_overlap = self.overlapping == self.rows.size
        if self.rows.size == 1:
            does = "overlaps later ones of its own stream"
            if not only_overlap:
                does = "ends after a call that waited for it had returned, or outlasts all like it"
            return f"One operation of {longest_ms} {does}: its duration is corrupt."
        do = "overlap later ones of their own stream"
        if not only_overlap:
            do += ", end after a call that waited for them had returned, or outlast all like them"
        return (
            f"{self.rows.size:,} operations {do}, the longest of {longest_ms}: "
            "their durations are corrupt."
        )

    @property
    def clock_text(self) -> str:
        """Return how the clocks disagree in a sentence; empty where they do not."""
        if not self.clock_ns:
            return ""
        ms = abs(self.clock_ns) / 1e6
        if self.clock_ns < 0:
            shows = f"{self.clock_records:,} operations begin before their launch does"
            where = "behind"
        else:
            calls = f"{self.clock_records:,} calls"
            shows = f"{calls} return before work that they waited for has ended"
            if self.slow_to_begin:
                launches = f"{self.clock_records:,} launches"
                shows = f"each of {launches} on an idle device is slow to begin"
            where = "ahead of"
        return (
            f"The clocks disagree: {shows}, so the device's is at least {ms:,.3f} ms {where} the "
            "host's."
        )


def find(view: DeviceView, gaps: Gaps) -> Corruption:
    """Return which of a device's records cannot be right."""
    operations = view.operations
    overlapping = _overlapping(operations)
    waited = waits_for_operations(view)
    late_ns = operations.end[waited.operation] - waited.returned
    late = late_ns > CLOCK_NS
    clock_ns, records = _device_behind(view)
    slow_to_begin = False
    unfinished = np.empty(0, np.int64)
    if np.count_nonzero(late) >= max(FEWEST, MOST * late.size) or (
        late.all() and late.size
    ):
        if not overlapping.size and not clock_ns:
            clock_ns, records = int(np.median(late_ns[late])), int(late.sum())
    elif late.any():
        unfinished = distinct(waited.operation[late])
    if not clock_ns and not overlapping.size:
        clock_ns, records = _device_ahead(view, gaps)
        slow_to_begin = clock_ns > 0
    rows = distinct(overlapping, unfinished, outlying(view))
    lengths = operations.end[rows] - operations.start[rows]
    return Corruption(
        rows=rows,
        longest_ns=int(lengths.max(initial=0)),
        overlapping=overlapping.size,
        clock_ns=clock_ns,
        clock_records=records,
        slow_to_begin=slow_to_begin,
        issuing_ns=_issuing_ns(view, rows),
    )


def _issuing_ns(view: DeviceView, rows: Int64) -> int:
    """Return how long a launch call took that issued all of a single operation; 0 where none did.

    A watch by events has one operation for all that a call issues, from the first to the last.
    """
    if said_by_watch(view.trace.meta).way != "events" or rows.size != 1:
        return 0
    calls, launch_call = view.trace.calls, view.launches[rows[0]]
    if launch_call < 0:
        return 0
    operation = view.operations.take(rows)
    begun = np.maximum(calls.start[launch_call], operation.start)
    issuing_ns = int((np.minimum(calls.end[launch_call], operation.end) - begun)[0])
    length_ns = int((operation.end - operation.start)[0])
    return issuing_ns if issuing_ns >= ISSUING * length_ns else 0


def without_ns(operations: Operations, rows: Int64, occupancy: Occupancy) -> int:
    """Return how much idle a window would have without some operations, in ns."""
    keep: Bool = np.ones(len(operations), np.bool_)
    keep[rows] = False
    rest = intervals.union(operations.start[keep], operations.end[keep])
    return occupancy.window_ns - intervals.clip(rest, *occupancy.window).measure


def _overlapping(operations: Operations) -> Int64:
    """Return the operations that overlap a later one of their stream for too long."""
    # The rows of each stream beside each other, in their order: one sort, however many streams.
    lasting = np.flatnonzero(operations.end > operations.start)
    by_stream = lasting[np.argsort(operations.stream[lasting], kind="stable")]
    is_first = np.diff(operations.stream[by_stream]) != 0
    found = [np.empty(0, np.int64)]
    for rows in np.split(by_stream, np.flatnonzero(is_first) + 1):
        if rows.size > 1:
            too_long = _too_long(operations.start[rows], operations.end[rows])
            found.append(rows[too_long])
    return np.sort(np.concatenate(found))


def _too_long(start: Int64, end: Int64) -> Bool:
    """Return which operations of one stream, sorted by start, overlap a later one for too long."""
    too_long = np.zeros(start.size, np.bool_)
    reach = np.maximum.accumulate(end)
    if not (reach[:-1] - start[1:] > OVERLAP_NS).any():
        return too_long
    shared = np.minimum(end[:-1], end[1:]) - start[1:]
    too_long[:-1] = shared > OVERLAP_NS
    # One that covers several short ones overlaps each of them by little, and all by much.
    row = np.arange(start.size)
    after = np.searchsorted(start, start + OVERLAP_NS, "right")
    next_start = start[np.minimum(after, start.size - 1)]
    covers_some = after > row + 1
    return too_long | (covers_some & (end - next_start > OVERLAP_NS))


def _device_ahead(view: DeviceView, gaps: Gaps) -> tuple[int, int]:
    """Return how late all operations begin that were launched while the device was idle.

    Nothing was there to wait for, so a launch takes microseconds; where the quickest of many takes
    far longer, it is the clocks. Launches count only where nothing can be missing before them: of a
    graph the first operations may be, and behind a graph, or work without a record, its last. The
    second is how many there are. A watch by events has no record of what is issued outside of its
    launch calls, and keeps the clocks together itself. Where waits return as what they waited for
    ends the clocks agree, and by no more can they disagree than any operation takes to begin: other
    processes' work on the same GPU is what launches wait for.
    """
    by_events = said_by_watch(view.trace.meta).way == "events"
    if len(gaps) < MANY_LAUNCHES or by_events or _waits_return_as_work_ends(view, gaps):
        return 0, 0
    telling = (gaps.host > 0) | (gaps.length > IDLE_NS)
    idle_launch = np.flatnonzero((gaps.call >= 0) & telling)
    idle_launch = idle_launch[~_behind_unknown(view, gaps.call[idle_launch])]
    calls = view.trace.calls
    if idle_launch.size < MANY_LAUNCHES:
        return 0, 0
    late_ns = gaps.end[idle_launch] - calls.start[gaps.call[idle_launch]]
    quickest_ns = min(int(late_ns.min()), _quickest_launch_ns(view))
    return (quickest_ns, idle_launch.size) if quickest_ns > LAUNCH_NS else (0, 0)


def _quickest_launch_ns(view: DeviceView) -> int:
    """Return after how long the quickest operations of all begin: one corrupt time is no clock."""
    linked = np.flatnonzero(view.launches >= 0)
    begun = view.trace.calls.start[view.launches[linked]]
    return int(np.sort(view.operations.start[linked] - begun)[:FEWEST][-1])


def _waits_return_as_work_ends(view: DeviceView, gaps: Gaps) -> bool:
    """Return whether most calls that were blocked returned as the device fell idle or a copy ended.

    The latter in an asynchronous loop, whose device does not fall idle: a step's tokens are copied
    to the host, and the call that waits for them returns.
    """
    calls, operations = view.trace.calls, view.operations
    blocked = view.waits & (calls.end - calls.start >= BLOCKED_NS)
    blocked &= (calls.end >= operations.start.min()) & (calls.start < operations.end.max())
    waits = calls.take(blocked)

    gap = np.searchsorted(gaps.start, waits.end) - 1
    idle_until = np.append(gaps.end, BEFORE_EVERYTHING)[gap]
    as_it_ended = _return_after(waits, gaps.start, WAKE_UP_NS) & (waits.end < idle_until)

    copied = np.sort(operations.end[operations.kind == OperationKind.MEMCPY])
    as_it_ended |= _return_after(waits, copied, RETURNED_NS)
    return int(as_it_ended.sum()) >= max(FEWEST, MOST * len(waits))


def _return_after(waits: Calls, moments: Int64, within_ns: int) -> Bool:
    """Return which waits last beyond one of some moments (ascending), but hardly."""
    last = _last_before(moments, waits.end)
    return np.asarray((waits.start < last) & (waits.end - last <= within_ns), np.bool_)


def _behind_unknown(view: DeviceView, launch_calls: Int64) -> Bool:
    """Return which of some launches are of a graph, or follow what may have run unrecorded.

    That is a graph, or a launch without a record, of the same thread with no wait since.
    """
    calls, names = view.trace.calls, view.trace.names
    by_graph = matching(GRAPH_LAUNCH, names)[calls.name]
    unknown = matching(LAUNCH, names)[calls.name]
    unknown[view.launches[view.launches >= 0]] = False
    unknown |= by_graph
    found: Bool = by_graph[launch_calls]
    for thread in distinct(calls.thread[launch_calls]):
        own = np.flatnonzero(calls.thread[launch_calls] == thread)
        of_thread = calls.thread == thread
        begun = calls.start[launch_calls[own]]
        last_unknown = _last_before(np.sort(calls.start[unknown & of_thread]), begun)
        last_wait = _last_before(np.sort(calls.end[view.waits & of_thread]), begun)
        found[own] |= (last_unknown > last_wait) & (last_unknown > BEFORE_EVERYTHING)
    return found


def _last_before(times: Int64, limits: Int64) -> Int64:
    """Return the last of some times (ascending) before each limit; BEFORE_EVERYTHING: none is."""
    row = np.searchsorted(times, limits) - 1
    return np.append(times, BEFORE_EVERYTHING)[row]


def _device_behind(view: DeviceView) -> tuple[int, int]:
    """Return by how much operations begin before their launch, negative, and how many do."""
    linked = np.flatnonzero(view.launches >= 0)
    lead = view.trace.calls.start[view.launches[linked]] - view.operations.start[linked]
    early = lead[lead > 0]
    if early.size < FEWEST:
        return 0, 0
    # One corrupt time is no clock: the amount is one that several show.
    return -int(np.sort(early)[-FEWEST]), int(early.size)
