"""Idle time in which work may have run that was not recorded: it bounds idle from below.

Three things show such work: launches without a record of theirs, replays of a graph with fewer
operations than its other replays, and replays that begin long after they were launched although the
device had nothing to do.
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
from idlescope.trace.table import Bool, Int64

# A graph that was launched on an idle device begins within tens of microseconds.
GRAPH_LATENCY_NS = 200_000
SAME_GRAPH = 0.7  # of the operations of a larger replay: fewer are of another graph
FEWEST_REPLAYS = 3
SCATTERED = (
    0.25  # sizes per replay: an engine has few graphs, each of which it replays often
)
FEWEST_SIZES = 4


class Unrecorded(NamedTuple):
    """When work may have run that was not recorded."""

    idle: Intervals  # disjoint, within the gaps
    launches: int  # calls without a record that could have run then
    replays: int  # of graphs, with fewer operations than others of the same
    late_replays: int  # that begin long after their launch


def unrecorded(view: DeviceView, launches: LaunchCalls, gaps: Gaps) -> Unrecorded:
    """Return the idle time in which unrecorded work may have run."""
    lost, lost_count = _without_record(view, launches)
    of_graphs = _of_graphs(view, launches, gaps)
    issued = gaps.end.copy()
    issued[of_graphs] = view.trace.calls.end[gaps.call[of_graphs]]
    issued = np.clip(issued, gaps.start, gaps.end)
    late_gaps = np.flatnonzero(gaps.end - issued > GRAPH_LATENCY_NS)
    short, short_count = _short_replays(view, launches, gaps, of_graphs)
    doubtful = distinct(late_gaps, short)
    pieces = intervals.union(
        np.concatenate((lost.start, issued[doubtful])),
        np.concatenate((lost.end, gaps.end[doubtful])),
    )
    idle = intervals.overlaps(Intervals(gaps.start, gaps.end), pieces).intervals
    return Unrecorded(
        idle=idle,
        launches=lost_count if lost.start.size else 0,
        replays=short_count,
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
    """Return which gaps the operation of a graph ended."""
    of_graph = gaps.call >= 0
    of_graph[of_graph] = launches.graph[gaps.call[of_graph]]
    return of_graph


def _short_replays(
    view: DeviceView, launches: LaunchCalls, gaps: Gaps, of_graphs: Bool
) -> tuple[Int64, int]:
    """Return the gaps that missing operations of graphs may fill, and how many replays lack some.

    So many operations as a replay lacks, of the largest that is like it, lie in as many gaps at
    most: the longest count. Where sizes scatter, even the largest lacks some, and all gaps count.
    """
    none = np.empty(0, np.int64)
    linked = view.launches[view.launches >= 0]
    replay_call, size = np.unique(linked[launches.graph[linked]], return_counts=True)
    if replay_call.size < FEWEST_REPLAYS:
        return none, 0
    lacking = _lacking(size.astype(np.int64))
    short = int(np.count_nonzero(lacking))
    if not short:
        return none, 0
    rows = np.flatnonzero(of_graphs & (gaps.queued > 0))
    replay = np.searchsorted(replay_call, gaps.call[rows])
    # Rank the gaps of each replay by length.
    order = np.lexsort((-gaps.queued[rows], replay))
    rows, replay = rows[order], replay[order]
    first = Groups(replay, replay_call.size).first(np.arange(rows.size))
    rank = np.arange(rows.size) - first[replay]
    return rows[rank < lacking[replay]], short


def _lacking(size: Int64) -> Int64:
    """Return how many operations each replay may lack, of the largest that is like it.

    All of its own, where nearly each replay has a size of its own: of one graph all have the same.
    """
    distinct, index = np.unique(size, return_inverse=True)
    apart = np.flatnonzero(distinct[:-1] < SAME_GRAPH * distinct[1:])
    last_of_kind = np.append(apart, distinct.size - 1)
    kind = np.searchsorted(last_of_kind, np.arange(distinct.size))
    sizes = np.bincount(kind)
    scattered = (sizes >= FEWEST_SIZES) & (sizes > SCATTERED * np.bincount(kind[index]))
    lacking = distinct[last_of_kind[kind]][index] - size
    return np.asarray(np.where(scattered[kind[index]], size, lacking), np.int64)
