"""Idle time in which work may have run that was not recorded: it bounds idle from below.

Four things show such work: launches without a record of theirs, replays of a graph with fewer
operations than its other replays, or, where a graph was replayed once, with gaps that are no gaps
between its nodes, and replays that begin long after they were launched although the device had
nothing to do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.intervals import AFTER_EVERYTHING, Intervals
from idlescope.analysis.verdict.launch_calls import LaunchCalls
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct
from idlescope.trace.model import OperationKind
from idlescope.trace.table import Bool, Int64

# A graph that was launched on an idle device begins within tens of microseconds.
GRAPH_LATENCY_NS = 200_000
SAME_GRAPH = 0.7  # of the operations of a larger replay: fewer are of another graph
FEWEST_REPLAYS = 3
SCATTERED = (
    0.25  # sizes per replay: an engine has few graphs, each of which it replays often
)
FEWEST_SIZES = 3
# A gap between nodes of a graph that lasts so many times as long as most of them, and this long, is
# where a node may be missing: nodes follow one another within 0.4 to 1 us on the lent H200.
UNLIKELY_GAP = 3
UNLIKELY_GAP_NS = 2_500
FEWEST_GAPS = 10


class Unrecorded(NamedTuple):
    """When work may have run that was not recorded."""

    idle: Intervals  # disjoint, within the gaps
    launches: int  # calls without a record that could have run then
    replays: int  # of graphs, with fewer operations than others of the same
    single_replays: (
        int  # of graphs that were replayed once, with gaps that are none of theirs
    )
    late_replays: int  # that begin long after their launch


def unrecorded(
    view: DeviceView, launches: LaunchCalls, gaps: Gaps, clock_ns: int = 0
) -> Unrecorded:
    """Return the idle time in which unrecorded work may have run.

    `clock_ns` is how far the device's clock is ahead of the host's: all begins so late.
    """
    lost, lost_count = _without_record(view, launches)
    of_graphs = _of_graphs(view, launches, gaps)
    issued = gaps.end.copy()
    issued[of_graphs] = view.trace.calls.end[gaps.call[of_graphs]]
    issued = np.clip(issued, gaps.start, gaps.end)
    late_gaps = np.flatnonzero(gaps.end - issued > GRAPH_LATENCY_NS + max(clock_ns, 0))
    replays = _replays(view, launches, gaps, of_graphs)
    short, short_count = _short_replays(replays)
    unlikely, single_count = _unlikely_gaps(replays)
    doubtful = distinct(late_gaps, short, unlikely)
    pieces = intervals.union(
        np.concatenate((lost.start, issued[doubtful])),
        np.concatenate((lost.end, gaps.end[doubtful])),
    )
    idle = intervals.overlaps(Intervals(gaps.start, gaps.end), pieces).intervals
    return Unrecorded(
        idle=idle,
        launches=lost_count if lost.start.size else 0,
        replays=short_count,
        single_replays=single_count,
        late_replays=distinct(gaps.call[late_gaps]).size,
    )


def _without_record(view: DeviceView, launches: LaunchCalls) -> tuple[Intervals, int]:
    """Return when the work of launches without a record can have run, and how many there are.

    That is from the launch to the first operation that the same thread launched after it, or to
    a call that waits returned. What a thread launched last of all may not have run.
    """
    calls = view.trace.calls
    lost = np.flatnonzero(launches.without_record)
    if not lost.size:
        return Intervals(lost, lost), 0
    starts, ends = [], []
    linked = np.flatnonzero(view.launches >= 0)
    launch_call = view.launches[linked]
    waits = np.flatnonzero(view.waits & ~launches.launching)
    for thread in distinct(calls.thread[lost]).tolist():
        own = lost[calls.thread[lost] == thread]
        issued = calls.start[own]
        begun = linked[calls.thread[launch_call] == thread]
        limit = _first_after(
            issued, calls.start[view.launches[begun]], view.operations.start[begun]
        )
        own_waits = waits[calls.thread[waits] == thread]
        returned = _first_after(issued, calls.start[own_waits], calls.end[own_waits])
        until = np.minimum(limit, returned)
        known = limit < AFTER_EVERYTHING
        starts.append(issued[known])
        ends.append(until[known])
    return intervals.union(np.concatenate(starts), np.concatenate(ends)), lost.size


def _first_after(times: Int64, issued: Int64, happened: Int64) -> Int64:
    """Return when the first of what was issued after each time happened; AFTER_EVERYTHING: none."""
    order = np.lexsort((happened, issued))
    position = np.searchsorted(issued[order], times, "right")
    return np.append(happened[order], AFTER_EVERYTHING)[position]


def _of_graphs(view: DeviceView, launches: LaunchCalls, gaps: Gaps) -> Bool:
    """Return which gaps an operation within a graph ended; one record of all of it lacks none."""
    in_pieces = launches.graph.copy()
    whole = (view.operations.kind == OperationKind.GRAPH) & (view.launches >= 0)
    in_pieces[view.launches[whole]] = False
    within = gaps.call >= 0
    within[within] = in_pieces[gaps.call[within]]
    return within


class Replays(NamedTuple):
    """The replays of graphs, and the gaps that their operations ended."""

    size: Int64  # operations of each replay
    gap: Int64  # rows of the gaps, by replay, the longest of each first
    gap_ns: Int64  # how long each waited
    replay: Int64  # of each gap

    @property
    def rank(self) -> Int64:
        """Return how many gaps of its replay are longer than each."""
        first = Groups(self.replay, self.size.size).first(np.arange(self.gap.size))
        return np.arange(self.gap.size) - first[self.replay]


def _replays(
    view: DeviceView, launches: LaunchCalls, gaps: Gaps, of_graphs: Bool
) -> Replays:
    linked = view.launches[view.launches >= 0]
    replay_call, size = np.unique(linked[launches.graph[linked]], return_counts=True)
    rows = np.flatnonzero(of_graphs & (gaps.queued > 0))
    replay = np.searchsorted(replay_call, gaps.call[rows])
    order = np.lexsort((-gaps.queued[rows], replay))
    rows, replay = rows[order], replay[order]
    return Replays(size.astype(np.int64), rows, gaps.queued[rows], replay)


def _short_replays(replays: Replays) -> tuple[Int64, int]:
    """Return the gaps that missing operations of graphs may fill, and how many replays lack some.

    So many operations as a replay lacks, of the largest that is like it, lie in as many gaps at
    most: the longest count. Where sizes scatter, even the largest lacks some, and all gaps count.
    """
    none = np.empty(0, np.int64)
    if replays.size.size < FEWEST_REPLAYS:
        return none, 0
    lacking = _lacking(replays.size)
    short = int(np.count_nonzero(lacking))
    if not short:
        return none, 0
    return replays.gap[replays.rank < lacking[replays.replay]], short


def _unlikely_gaps(replays: Replays) -> tuple[Int64, int]:
    """Return the gaps within graphs replayed once that missing operations may fill.

    The second is how many such replays there are: no other tells how many operations each has.
    """
    kinds = _kinds(replays.size)
    is_single = np.bincount(kinds.of_replay)[kinds.of_replay] == 1
    found = [np.empty(0, np.int64)]
    for replay in np.flatnonzero(is_single).tolist():
        of_replay = replays.replay == replay
        lengths = replays.gap_ns[of_replay]
        if lengths.size < FEWEST_GAPS:
            continue
        usual = max(UNLIKELY_GAP * float(np.median(lengths)), UNLIKELY_GAP_NS)
        if (lengths > usual).any():
            found.append(replays.gap[of_replay][lengths > usual])
    return np.concatenate(found), len(found) - 1


class Kinds(NamedTuple):
    """The sizes of replays, those that are like one another together."""

    sizes: Int64  # distinct, ascending
    largest: Int64  # of each kind, as an index into `sizes`
    of_size: Int64  # the kind of each size
    of_replay: Int64  # the kind of each replay


def _kinds(size: Int64) -> Kinds:
    """Return which replays are like one another, by their sizes."""
    sizes, index = np.unique(size, return_inverse=True)
    apart = np.flatnonzero(sizes[:-1] < SAME_GRAPH * sizes[1:])
    largest = np.append(apart, sizes.size - 1)
    of_size = np.searchsorted(largest, np.arange(sizes.size))
    return Kinds(sizes, largest, of_size, of_size[index])


def _lacking(size: Int64) -> Int64:
    """Return how many operations each replay may lack, of the largest that is like it.

    All of its own, where nearly each replay has a size of its own: of one graph all have the same.
    """
    kinds = _kinds(size)
    kind_sizes = np.bincount(kinds.of_size)
    replay_counts = np.bincount(kinds.of_replay)
    scattered = (kind_sizes >= FEWEST_SIZES) & (kind_sizes > SCATTERED * replay_counts)
    lacking = kinds.sizes[kinds.largest[kinds.of_replay]] - size
    return np.asarray(np.where(scattered[kinds.of_replay], size, lacking), np.int64)
