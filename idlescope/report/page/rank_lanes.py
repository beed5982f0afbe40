"""A lane for each rank: when it computed, transferred, and waited for the others, on one clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.ranks.group import Group
from idlescope.palette import RANK
from idlescope.report.page.lane import Lane

MOST_UNFOLDED = 8  # lanes; of more, those that tell most are shown, and the rest on demand
MOST_INTERVALS = 240_000  # in all lanes: some 4 MB of a page
JOINED_NS = 1_000  # gaps between kernels of a graph are narrower: they are not seen here
_STATES = tuple(RANK)
_COLOURS = tuple(RANK.values())


def rank_lanes(group: Group) -> list[Lane]:
    """Return each rank's lane, those that tell most first where there are many."""
    lanes = [_lane(group, index) for index in range(len(group.ranks))]
    return [lanes[index] for index in _order(group) if lanes[index].start.size]


def kept(lanes: Sequence[Lane], most: int = MOST_INTERVALS) -> list[Lane]:
    """Return the lanes about the longest wait: as much of them as a page can hold."""
    count = sum(lane.start.size for lane in lanes)
    if count <= most:
        return list(lanes)
    starts = np.sort(np.concatenate([lane.start for lane in lanes]))
    middle = int(np.searchsorted(starts, _longest_wait(lanes)))
    first = min(max(middle - most // 2, 0), count - most)
    low, high = starts[first], starts[first + most - 1]
    cut = [lane.take((lane.start >= low) & (lane.start < high)) for lane in lanes]
    return [lane for lane in cut if lane.start.size]


def _longest_wait(lanes: Sequence[Lane]) -> int:
    """Return when the longest wait of any rank began."""
    longest_ns, begun = -1, 0
    for lane in lanes:
        waits = np.flatnonzero(lane.name == _STATES.index("waiting"))
        if waits.size:
            length = lane.end[waits] - lane.start[waits]
            if int(length.max()) > longest_ns:
                longest_ns = int(length.max())
                begun = int(lane.start[waits[int(length.argmax())]])
    return begun


def _order(group: Group) -> list[int]:
    """Return the ranks in order; of many, the one that is waited for and those that wait first."""
    indices = list(range(len(group.ranks)))
    if len(indices) <= MOST_UNFOLDED:
        return indices
    late = group.waited_for
    telling = sorted(indices, key=lambda index: (index != late, -group.waiting_pct[index]))
    shown = sorted(telling[:MOST_UNFOLDED])
    return [*shown, *(index for index in indices if index not in shown)]


def _lane(group: Group, index: int) -> Lane:
    """Return one rank's states: disjoint intervals, the most telling state where several hold."""
    rank, times, clock = group.ranks[index], group.ranks[index].times, group.clocks[index]
    waiting = intervals.subtract(group.waiting[index].waiting, times.computing)
    exposed = intervals.subtract(times.covered, times.computing)
    states = {
        "computing": intervals.join(times.computing, JOINED_NS),
        "transfer": intervals.subtract(exposed, waiting),
        "waiting": waiting,
    }
    parts = [states[state] for state in _STATES]
    start = np.concatenate([part.start for part in parts])
    name = np.repeat(np.arange(len(parts)), [part.start.size for part in parts])
    by_start = np.argsort(start, kind="stable")
    whole = Intervals(start, np.concatenate([part.end for part in parts]))
    return Lane(
        label=rank.label,
        start=clock.to_first(whole.start[by_start]),
        end=clock.to_first(whole.end[by_start]),
        name=name[by_start],
        step=np.full(start.size, -1, np.int64),
        texts=_STATES,
        colours=_COLOURS,
    )
