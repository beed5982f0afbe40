"""Which batching a trace shows: synchronous, asynchronous, or meant to be asynchronous and serialised by something."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.steps.find import RECORDED
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.view import DeviceView
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.names.calls import SYNCHRONISING, matching
from idlescope.trace.table import Bool, Int64

ENOUGH_STEPS = 3
MOST = 0.5  # share of the steps that makes a habit
MATTERS = 0.1  # a wait shorter than this share of the device's work serialises nothing
SYNCHRONOUS, ASYNCHRONOUS, SERIALISED, UNKNOWN = (
    "synchronous",
    "asynchronous",
    "serialised",
    "unknown",
)
NUMBER = re.compile(r"(?<![A-Za-z_])\d+")
NEAR_END = 0.2  # of a step's time on the device: a wait in it waits for the step, though a small kernel may follow
_ITEM = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero"}


@dataclass(frozen=True)
class Culprit:
    """A wait that keeps an asynchronous loop from being one."""

    call: str
    inside: str  # the innermost operator, range or frame around it
    count: int
    waited_ns: int

    def text(self, steps: int) -> str:
        """Return the culprit in words, with its count and cost."""
        inside = f" in {self.inside}" if self.inside else ""
        hint = " (an .item())" if self.inside in _ITEM else ""
        each = self.waited_ns / steps / 1e6
        return f"{self.call}{inside}{hint}: {self.count:,} times, {each:.2f} ms a step"


@dataclass(frozen=True)
class Batching:
    """The batching of one device's work."""

    kind: str  # one of the four above
    early: int  # steps launched before their predecessor ended
    followers: int  # steps that could be: those with operations whose predecessor has some
    culprit: Culprit | None = None


def classify(view: DeviceView, steps: Steps) -> Batching:
    """Return the batching that the steps of one device show."""
    trace, waits = view.trace, view.waits
    has = (steps.operations > 0) & (steps.launched < np.iinfo(np.int64).max)
    follows = np.concatenate(([False], has[1:] & (steps.operations[:-1] > 0)))[: len(steps)]
    early, followers = int((steps.early & follows).sum()), int(follows.sum())
    if followers + 1 < ENOUGH_STEPS:
        return Batching(UNKNOWN, early, followers)
    if early > MOST * followers:
        return Batching(ASYNCHRONOUS, early, followers)
    begun = follows & (steps.start < _before(steps)) & _knows_starts(steps)
    overlapping = begun.sum() > MOST * followers
    culprit = _wait_while_preparing(trace, waits, steps, begun) if overlapping else None
    culprit = culprit or _silent_copy(view, steps)
    if culprit and culprit.waited_ns > MATTERS * int(steps.device.sum()):
        return Batching(SERIALISED, early, followers, culprit)
    if _waits_for_each(trace, waits, steps, follows):
        return Batching(SYNCHRONOUS, early, followers)
    # begun while the last step ran, yet launched after it: the host needs longer than the device
    return Batching(ASYNCHRONOUS if overlapping else UNKNOWN, early, followers)


def _waits_for_each(trace: Trace, waits: Bool, steps: Steps, follows: Bool) -> bool:
    """Return whether the host, on any thread, waits for the end of most steps: else nothing makes it synchronous.

    Where it is known that steps begin when their predecessor is over, a wait that found it so is enough.
    """
    waiting = intervals.union(trace.calls.start[waits], trace.calls.end[waits])
    after = np.flatnonzero(follows)
    before = after - 1
    done = steps.done[before]
    at = np.searchsorted(
        waiting.end, done - (NEAR_END * steps.device[before]).astype(np.int64), "right"
    )
    there = at < waiting.start.size
    there[there] = waiting.start[at[there]] <= done[there]
    if _knows_starts(steps):
        first = np.searchsorted(waiting.end, steps.launched[before], "right")
        last = np.searchsorted(waiting.end, steps.launched[after], "right")
        there |= (steps.start[after] >= done) & (last > first)
    return bool(there.sum() > MOST * before.size)


def _before(steps: Steps) -> Int64:
    """Return for each step when its predecessor ended on the device."""
    return np.concatenate(([np.iinfo(np.int64).min], steps.done[:-1]))


def _knows_starts(steps: Steps) -> bool:
    """Return whether it is known when the host's work for a step began: cuts at launches or waits do not tell."""
    return steps.found in (RECORDED, "ProfilerStep#") or steps.found.endswith("spans")


def _wait_while_preparing(trace: Trace, waits: Bool, steps: Steps, begun: Bool) -> Culprit | None:
    """Return the wait in which steps that were begun while their predecessor ran sit out its end, before they launch.

    A loop that begins the next step before the last one has ended means to overlap them.
    """
    late = np.flatnonzero(begun & (steps.launched >= _before(steps)))
    calls, before = trace.calls, _before(steps)[late]
    rows = np.flatnonzero(waits)
    rows = rows[np.argsort(calls.start[rows], kind="stable")]
    first = np.searchsorted(calls.start[rows], steps.start[late])
    last = np.searchsorted(calls.start[rows], np.minimum(steps.launched[late], before))
    step, at = intervals.spread(first, np.maximum(last - first, 0))
    lasting = calls.end[rows[at]] >= before[step]
    step, at = step[lasting], at[lasting]
    if not at.size:
        return None
    # a wait at the very top of a step is that for its predecessor, whose span ended a little early
    worked = np.median(calls.start[rows[at]] - steps.start[late[step]])
    if worked < MATTERS * np.median(steps.host[late]):
        return None
    return _named(trace, rows[at], int(late.size))


def _silent_copy(view: DeviceView, steps: Steps) -> Culprit | None:
    """Return the copy that blocks although its call is an asynchronous one and nothing after it asks to wait.

    A copy from or to memory that is not pinned blocks whatever `non_blocking` says. Where a synchronising call
    follows it at once, as in `.cpu()` or `.item()`, waiting was meant.
    """
    trace, waits, calls = view.trace, view.waits, view.trace.calls
    copies = view.blocking_copies
    copies = copies[~matching(SYNCHRONISING, trace.names)[calls.name[copies]]]
    order = np.lexsort((calls.start, calls.thread))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    following = order[np.minimum(place[copies] + 1, order.size - 1)]
    meant = waits[following] & (calls.thread[following] == calls.thread[copies])
    return _named(trace, copies[~meant], len(steps))


def _named(trace: Trace, rows: Int64, steps: int) -> Culprit | None:
    """Return the costliest call of some waits, with what is most often innermost around it; None if they are few."""
    if rows.size <= MOST * steps:
        return None
    calls, ranges = trace.calls, trace.ranges
    kinds, group = np.unique(calls.name[rows], return_inverse=True)
    waited = np.bincount(group, calls.end[rows] - calls.start[rows])
    worst = int(waited.argmax())
    rows = rows[group == worst]
    inside: Counter[str] = Counter()
    for thread in np.unique(calls.thread[rows]):
        mine = rows[calls.thread[rows] == thread]
        of = np.flatnonzero((ranges.thread == thread) & (ranges.kind <= RangeKind.FRAME))
        owner = intervals.innermost_at(ranges.start[of], ranges.end[of], calls.start[mine])
        # spans of whole steps have a number each
        inside.update(
            NUMBER.sub("N", trace.names[ranges.name[of[i]]]) if i >= 0 else ""
            for i in owner.tolist()
        )
    name = inside.most_common(1)[0][0]
    return Culprit(trace.names[kinds[worst]], name, int(rows.size), int(waited[worst]))
