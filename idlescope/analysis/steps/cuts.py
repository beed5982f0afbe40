"""Where the host's time is cut into steps: at the ends of its waits for the device.

Of several waits between two launches it is the longest: that for a step's tokens. Others are short:
a copy of unpinned memory, which prepares the next step, waits for microseconds.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Calls
from idlescope.trace.names.calls import COPY, LAUNCH, MEMSET, matching
from idlescope.trace.table import Bool, Int64

MOST_AT_ONCE = 4  # steps that a loop launches before it first waits
FEWEST_TURNS = 4  # that show in which places a loop waits by turns
MOST_PLACES = 4  # beside the one for tokens
NEARLY_ALWAYS = 0.9  # of the turns are alike
AT_ONCE = 4.0  # times as long is the time between bursts of launches as within them
MOST_RISES = 3  # in the time between launches that are looked at: pauses are others
LIKE_BEHIND_A_WAIT = 0.5  # of the time between a wait and the next launch


class LongestWaits(NamedTuple):
    """The longest wait between two times that follow one another, where there is any."""

    before: Int64  # row of the earlier time; -1: none
    end: Int64  # of the wait, ns, ascending
    row: Int64  # of the wait


def longest_waits(times: Int64, waits: Calls) -> LongestWaits:
    """Return the longest of the waits that end between each two of some times (ascending).

    Of equals it is the last.
    """
    before = np.searchsorted(times, waits.end) - 1
    order = np.lexsort((waits.end, waits.end - waits.start, before))
    before = before[order]
    is_longest = np.append(np.diff(before) > 0, True)[: before.size]
    row = order[is_longest]
    return LongestWaits(before[is_longest], waits.end[row], row)


def between_launches(launch_starts: Int64, waits: Calls) -> Int64:
    """Return the row of the longest wait between each two launches that have waits between them."""
    found = longest_waits(launch_starts, waits)
    between = (found.before >= 0) & (found.before < launch_starts.size - 1)
    return found.row[between]


def between_bursts(launches: Calls) -> Int64:
    """Return after which of some launches a step ends, where the host waits for none.

    Those of one step follow one another at once. Where they do not come in bursts of as many each,
    every launch is a step.
    """
    every = launches.end[:-1]
    apart_ns = launches.start[1:] - every
    ordered = np.sort(apart_ns)
    rises = ordered[1:] / np.maximum(ordered[:-1], 1)
    for rise in np.argsort(-rises)[:MOST_RISES].tolist():
        if rises[rise] < AT_ONCE:
            break
        last_of_burst = np.flatnonzero(apart_ns > ordered[rise])
        sizes = np.diff(last_of_burst)
        if sizes.size < FEWEST_TURNS or np.median(sizes) < 2:
            continue
        if np.mean(sizes == np.median(sizes)) >= NEARLY_ALWAYS:
            return every[last_of_burst]
    return every


def for_tokens(waits: Calls, place: Int64, launch_starts: Int64) -> Bool:
    """Return which of some waits between launches, in order, end a step.

    Where a loop waits in several places by turns, in each once, all but one are for parts of a
    step, such as an `.item()`, after which it launches the rest. For its tokens it waits where it
    has most to do, beside waiting, between two launches. `place` is a number for each place.
    """
    every = np.ones(place.size, np.bool_)
    following = np.searchsorted(launch_starts, waits.end)
    following = np.clip(following, 1, launch_starts.size - 1)
    between_ns = launch_starts[following] - launch_starts[following - 1]
    work_ns = between_ns - (waits.end - waits.start)
    candidates = [one for one in distinct(place).tolist() if _by_turns(place, one)]
    if not candidates:
        return every
    ending = max(candidates, key=lambda one: float(np.median(work_ns[place == one])))
    return np.asarray(place == ending, np.bool_)


def places_by_launches(launch_starts: Int64, waits: Calls) -> Int64:
    """Return a number for each of some waits, in order, by how much was launched since the last.

    A loop that waits several times in a step, always by the same call, launches another part of it
    before each, and as much of it every time. One place for all, where it does not.
    """
    before = np.searchsorted(launch_starts, waits.end)
    launched = np.diff(before, prepend=0)
    turns = distinct(launched[1:]).tolist()
    for one in turns:
        at = np.flatnonzero(launched == one)
        usual = np.median(np.diff(at)) if at.size >= FEWEST_TURNS else 1
        if usual > 1 and at.size * usual >= NEARLY_ALWAYS * launched.size:
            return launched
    return np.zeros(launched.size, np.int64)


def _by_turns(place: Int64, ending: int) -> bool:
    """Return whether between waits in a place there are others, nearly always the same, once each.

    Few of them: a loop has no more reads of values in a step. Some steps, such as prefills, may
    have none.
    """
    at = np.flatnonzero(place == ending)
    if at.size < FEWEST_TURNS:
        return False
    between = Counter(
        tuple(place[one + 1 : other].tolist()) for one, other in pairwise(at.tolist())
    )
    usual, count = between.most_common(1)[0]
    once_each = len(set(usual)) == len(usual)
    few = 0 < len(usual) <= MOST_PLACES
    alike = count + between[()]
    is_habit = 2 * count > at.size - 1
    return once_each and few and is_habit and alike >= NEARLY_ALWAYS * (at.size - 1)


def last_before(starts: Int64, launch_starts: Int64, waits: Calls) -> Int64:
    """Return when the wait for tokens before each of some steps ended; its start where none did.

    That is the longest of the waits since the launch before the last of them. `starts` are those of
    the steps' spans, ascending.
    """
    times = np.sort(np.concatenate((starts, launch_starts)))
    found = longest_waits(times, waits)
    if not found.end.size:
        return starts
    row = np.searchsorted(found.end, starts, "right") - 1
    waited = (row >= 0) & (found.end[row] > np.append(starts[:1], starts[:-1]))
    return np.where(waited, found.end[row], starts)


def forward_launches(view: DeviceView, thread: int) -> Int64:
    """Return when a thread launched kernels and graphs, ascending, ns."""
    calls, names = view.trace.calls, view.trace.names
    moves = matching(COPY, names) | matching(MEMSET, names)
    is_forward: Bool = (matching(LAUNCH, names) & ~moves)[calls.name]
    return np.sort(calls.start[is_forward & (calls.thread == thread)])


def with_unwaited(cuts: Int64, launch_starts: Int64) -> Int64:
    """Return the cuts with those between steps that were launched with no wait between them.

    An asynchronous loop fills its pipeline first: as many launches as several steps have come
    before its first wait. And a recording may have lost the waits of a part of it, or have them of
    a part alone: no loop launches many steps at once. `launch_starts` is ascending.
    """
    if cuts.size < 2:
        return cuts
    part = np.searchsorted(cuts, launch_starts, "right")
    counts = np.bincount(part, minlength=cuts.size + 1)
    inner = counts[1:-1]
    usual = int(np.median(inner))
    if not usual or np.count_nonzero(inner == usual) <= inner.size / 2:
        return cuts
    several = counts > MOST_AT_ONCE * usual
    several[0] |= counts[0] > usual and counts[0] % usual == 0
    # What is launched at once, such as the pieces of a prefill beside whole graphs, is one step:
    # between two of them the host works as long as behind a wait.
    following = np.minimum(np.searchsorted(launch_starts, cuts), launch_starts.size - 1)
    work_ns = float(np.median(launch_starts[following] - cuts))
    first = np.cumsum(counts) - counts
    cut_again = [cuts]
    for row in np.flatnonzero(several).tolist():
        begun = launch_starts[first[row] : first[row] + counts[row]]
        last_of_step = np.arange(usual - 1, begun.size - usual, usual)
        between_ns = begun[last_of_step + 1] - begun[last_of_step]
        if np.median(between_ns) >= LIKE_BEHIND_A_WAIT * work_ns:
            cut_again.append(begun[last_of_step] + 1)
    return np.sort(np.concatenate(cut_again))
