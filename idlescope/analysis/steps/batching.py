"""Which batching a trace shows: synchronous, asynchronous, or asynchronous but serialised."""

from __future__ import annotations

from collections import Counter
from enum import Enum

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from idlescope.analysis import intervals
from idlescope.analysis.grouping import by_value
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.intervals import BEFORE_EVERYTHING
from idlescope.analysis.steps.around import names_around
from idlescope.analysis.steps.find import (
    PROFILER_STEPS,
    RECORDED,
    STEP_ANNOTATIONS,
    by_engine,
)
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.steps.waited_for import StepWaits, step_waits
from idlescope.analysis.view import DeviceView
from idlescope.trace.distinct import distinct
from idlescope.trace.model import Trace
from idlescope.trace.names.calls import SYNCHRONISING, TO_HOST, matching
from idlescope.trace.table import Bool, Int64

ENOUGH_STEPS = 3
MOST = 0.5  # share of the steps that makes a habit
MANY_STEPS = 8  # in a row that do, though the others do not
MATTERS = 0.1  # a wait shorter than this share of the device's time serialises nothing
MATTERS_INSIDE = 0.02  # the same of the idle time behind a wait inside most steps
# A wait in this share of a step's time on the device, at its end, waits for the step, though a
# small kernel may follow.
NEAR_END = 0.2
_ITEM = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero"}


class BatchingKind(str, Enum):
    """How steps follow one another; equal to, hashed and written as its value."""

    SYNCHRONOUS = "synchronous"  # the host waits for each step before it begins the next
    ASYNCHRONOUS = "asynchronous"  # it begins the next one while a step runs
    SERIALISED = "serialised"  # it would, but something in between waits
    UNKNOWN = "not told"  # nothing in the trace tells

    __str__ = str.__str__
    __hash__ = str.__hash__


SYNCHRONOUS, ASYNCHRONOUS = BatchingKind.SYNCHRONOUS, BatchingKind.ASYNCHRONOUS
SERIALISED, UNKNOWN = BatchingKind.SERIALISED, BatchingKind.UNKNOWN


class Culprit(Struct, frozen=True):
    """A wait that keeps a loop from being asynchronous."""

    call: str
    inside: str  # the innermost operator, range or frame around it, or in what it delayed
    count: int
    waited_ns: int  # in it; of a wait inside a step, the idle time that follows it
    inside_step: bool = False  # for a part of the step, which goes on after it

    @property
    def is_item(self) -> bool:
        """Return whether it reads one value from the device."""
        return self.inside in _ITEM

    @property
    def where(self) -> str:
        """Return the call, and what it is in."""
        return f"{self.call} in {self.inside}" if self.inside else self.call

    def text(self, steps: int) -> str:
        """Return the culprit in words, with its count and its cost per step."""
        hint = " (an .item())" if self.is_item else ""
        ms_per_step = self.waited_ns / steps / 1e6
        return f"{self.where}{hint}: {self.count:,} times, {ms_per_step:.2f} ms per step"


class Batching(Struct, frozen=True):
    """The batching of one device's steps."""

    kind: BatchingKind
    early: int  # steps launched before their predecessor ended
    followers: int  # steps that could be: those with operations whose predecessor has some
    # what serialises the steps; of synchronous ones a lesser wait inside of them
    culprit: Culprit | None = None
    token_wait: Culprit | None = (
        None  # the call in which a synchronous loop waits for its tokens
    )
    driver: str = ""  # the rank that this was taken from, where its own waits tell nothing

    @property
    def host_is_slower(self) -> bool:
        """Return whether batching is asynchronous and yet the host is late for most steps."""
        return self.kind == ASYNCHRONOUS and self.early <= MOST * self.followers


def classify(
    view: DeviceView, steps: Steps, step: Int64, gaps: Gaps, apart: Bool
) -> Batching:
    """Return the batching that the steps of one device show.

    What tells is which step each wait of the launching thread was for (`waited_for`), so that a
    slow host does not turn asynchronous batching into synchronous. `step` is that of each
    operation; `apart` says which gaps are no cost of a step.
    """
    follows = _following(steps)
    followers = int(follows.sum())
    early = int((steps.early & follows).sum())
    if followers + 1 < ENOUGH_STEPS:
        return Batching(UNKNOWN, early, followers)
    most = MOST * followers
    device_ns = int(steps.device.sum())
    waits = step_waits(view, steps, step)
    if early > most:
        # The device may run dry behind a wait inside the step all the same.
        culprit = _wait_inside(view, waits.inside_calls, gaps, apart, len(steps))
        idle_ns = int(gaps.length[~apart].sum())
        holds_most = culprit and culprit.waited_ns > MOST * idle_ns
        matters = MATTERS_INSIDE if holds_most else MATTERS
        if culprit and culprit.waited_ns > matters * device_ns:
            return Batching(SERIALISED, early, followers, culprit)
        return Batching(ASYNCHRONOUS, early, followers)

    # A loop that begins a step before the last one has ended means to overlap them.
    begun_early = follows & _begun_early(steps)
    overlapping = bool(begun_early.sum() > most)
    culprit = _wait_before_launch(view, steps, begun_early) if overlapping else None
    culprit = culprit or _silent_copy(view, steps, waits)
    if culprit and culprit.waited_ns > MATTERS * device_ns:
        return Batching(SERIALISED, early, followers, culprit)
    kind = _kind(view, steps, waits, follows, overlapping)
    culprit = _wait_inside(view, waits.inside_calls, gaps, apart, len(steps))
    if culprit and culprit.waited_ns <= MATTERS_INSIDE * device_ns:
        culprit = None
    if culprit and (
        kind != SYNCHRONOUS
        or culprit.waited_ns >= _usual_idle_behind(view, waits.own_calls, gaps)
    ):
        return Batching(SERIALISED, early, followers, culprit)
    return Batching(
        kind=kind,
        early=early,
        followers=followers,
        culprit=culprit,
        token_wait=_token_wait(view, waits, len(steps)) if kind == SYNCHRONOUS else None,
    )


def _kind(
    view: DeviceView, steps: Steps, waits: StepWaits, follows: Bool, overlapping: bool
) -> BatchingKind:
    """Return the batching of steps of which few were launched early and that no wait serialises.

    Waits tell it where they are a habit, though few of them tell.
    """
    if waits.told and _waits_by_habit(view, steps, int(np.count_nonzero(follows))):
        return ASYNCHRONOUS if waits.for_older > MOST * waits.told else SYNCHRONOUS
    if view.says_asynchronous and _knows_starts(steps):
        return ASYNCHRONOUS  # the host is many times slower: every wait found its work done
    if _waits_for_each(view, steps, follows):
        return SYNCHRONOUS
    # Begun while the last step ran, yet launched after it: the host needs longer than the device.
    return ASYNCHRONOUS if overlapping else UNKNOWN


def _waits_by_habit(view: DeviceView, steps: Steps, followers: int) -> bool:
    """Return whether the launching thread waits in most steps, or in most of many in a row.

    In recordings of servers it does so for each step or for hardly any: those of a rank without
    tokens, in which an allocator asked for an event again and again. Of a recording that lost calls
    only a part may have waits.
    """
    calls = view.trace.calls
    own_waits = view.waits & (calls.thread == view.launching_thread)
    if np.count_nonzero(own_waits) >= MOST * followers:
        return True
    step = np.searchsorted(steps.start, calls.start[own_waits], "right") - 1
    waited = distinct(step[step >= 0])
    if not waited.size:
        return False
    in_a_row = int(waited[-1] - waited[0]) + 1
    return in_a_row >= MANY_STEPS and waited.size >= MOST * in_a_row


def _token_wait(view: DeviceView, waits: StepWaits, steps: int) -> Culprit | None:
    """Find the call in which the host waits for the tokens of its steps."""
    return _costliest(view.trace, waits.own_calls, steps)


def _wait_inside(
    view: DeviceView, calls: Int64, gaps: Gaps, apart: Bool, steps: int
) -> Culprit | None:
    """Find the wait for a part of a step after which the device runs dry.

    Its cost is the host's part of the gap that follows: what was launched before the wait ran out
    before the host had launched the rest. One that is no cost of a step has no part in it.
    """
    culprit = _costliest(view.trace, calls, steps)
    if culprit is None:
        return None
    delayed = _gaps_behind(view, calls, gaps)
    delayed = delayed[~apart[delayed]]
    inside = culprit.inside
    if delayed.size:
        rows = gaps.call[delayed]
        middle = (gaps.start[delayed] + gaps.end[delayed]) // 2
        inside = (
            _most_often_open(view.trace, view.trace.calls.thread[rows], middle) or inside
        )
    waited_ns = int(gaps.host[delayed].sum())
    return replace(culprit, inside=inside, waited_ns=waited_ns, inside_step=True)


def _gaps_behind(view: DeviceView, calls: Int64, gaps: Gaps) -> Int64:
    """Return the rows of the first gaps that a launch after each of some waits ended."""
    issued = np.zeros(len(gaps), np.int64)
    known = gaps.call >= 0
    issued[known] = view.trace.calls.start[gaps.call[known]]
    gap = np.searchsorted(
        np.maximum.accumulate(issued), np.sort(view.trace.calls.end[calls])
    )
    return distinct(gap[gap < len(gaps)])


def _usual_idle_behind(view: DeviceView, calls: Int64, gaps: Gaps) -> float:
    """Return the host's part of the gaps behind some waits, if all were as long as usual."""
    delayed = _gaps_behind(view, calls, gaps)
    return delayed.size * float(np.median(gaps.host[delayed])) if delayed.size else 0.0


def _following(steps: Steps) -> Bool:
    """Return which steps ran on the device right after another one that did."""
    ran = steps.operations > 0
    follows = np.zeros(len(steps), np.bool_)
    follows[1:] = (ran & steps.has_launch)[1:] & ran[:-1]
    return follows


def _predecessor_done(steps: Steps) -> Int64:
    """Return for each step when its predecessor ended on the device."""
    return np.concatenate(([BEFORE_EVERYTHING], steps.computed[:-1]))


def _begun_early(steps: Steps) -> Bool:
    """Return which steps the host is known to have begun before their predecessor ended."""
    begun_early = steps.start < _predecessor_done(steps)
    return np.asarray(begun_early & _knows_starts(steps), np.bool_)


def _knows_starts(steps: Steps) -> bool:
    """Return whether it is known when the host's work for a step began.

    Steps that were cut at launches or waits do not tell.
    """
    return steps.found in (RECORDED, PROFILER_STEPS, STEP_ANNOTATIONS) or by_engine(
        steps.found
    )


def _waits_for_each(view: DeviceView, steps: Steps, follows: Bool) -> bool:
    """Return whether the launching thread waits for the end of most steps.

    Nothing else makes a loop synchronous. Where it is known that steps begin when their predecessor
    is over, a wait that found it so is enough.
    """
    calls = view.trace.calls
    calls = calls.take(view.waits & (calls.thread == view.launching_thread))
    waiting = intervals.union(calls.start, calls.end)
    after = np.flatnonzero(follows)
    before = after - 1
    done = steps.computed[before]

    # Is there a wait that ends near the step's end, or later, and began before it?
    last_part = (NEAR_END * steps.device[before]).astype(np.int64)
    wait = np.searchsorted(waiting.end, done - last_part, "right")
    waited = wait < waiting.start.size
    began = waiting.start[wait[waited]]
    waited[waited] = began <= done[waited]

    if _knows_starts(steps):
        begun_after = steps.start[after] >= done
        first_wait = np.searchsorted(waiting.end, steps.launched[before], "right")
        last_wait = np.searchsorted(waiting.end, steps.launched[after], "right")
        waited |= begun_after & (last_wait > first_wait)
    return bool(waited.sum() > MOST * before.size)


def _wait_before_launch(
    view: DeviceView, steps: Steps, begun_early: Bool
) -> Culprit | None:
    """Find the blocking call that delays a step's launch.

    The host had already begun the step, then waited for the previous one to end.
    """
    calls = view.trace.calls
    predecessor_done = _predecessor_done(steps)
    launched_late = steps.launched >= predecessor_done
    delayed = np.flatnonzero(begun_early & launched_late)
    begun, launched = steps.start[delayed], steps.launched[delayed]
    predecessor_done = predecessor_done[delayed]
    waits = np.flatnonzero(view.waits)
    waits = waits[np.argsort(calls.start[waits], kind="stable")]
    wait_starts = calls.start[waits]

    # One row for each pair of a delayed step and a wait between its start and its launch, of which
    # those that last until the predecessor has ended count.
    first = np.searchsorted(wait_starts, begun)
    last = np.searchsorted(wait_starts, np.minimum(launched, predecessor_done))
    row, position = intervals.spread(first, np.maximum(last - first, 0))
    wait = waits[position]
    lasting = calls.end[wait] >= predecessor_done[row]
    row, wait = row[lasting], wait[lasting]
    if not wait.size:
        return None
    # A wait at the very top of a step is that for its predecessor, whose span ended a little early.
    worked_before = np.median(calls.start[wait] - begun[row])
    usual_host_ns = np.median(steps.host[delayed])
    if worked_before < MATTERS * usual_host_ns:
        return None
    return _costliest(view.trace, wait, int(delayed.size))


def _silent_copy(view: DeviceView, steps: Steps, waits: StepWaits) -> Culprit | None:
    """Find the copy that blocks although its call is an asynchronous one and nothing asks to wait.

    A copy from or to memory that is not pinned blocks whatever `non_blocking` says. Where a
    synchronising call follows it at once, as in `.cpu()` or `.item()`, waiting was meant.
    """
    trace, calls = view.trace, view.trace.calls
    copies = view.blocking_copies
    asks_to_wait = matching(SYNCHRONISING, trace.names)[calls.name[copies]]
    copies = copies[~asks_to_wait]
    following = _next_calls(trace, copies)
    same_thread = calls.thread[following] == calls.thread[copies]
    meant = view.waits[following] & same_thread
    if not _waits_otherwise(view, waits, len(steps)):
        # The copy is where the host takes its tokens: no other wait could be meant to.
        meant |= matching(TO_HOST, trace.names)[_copied(view, copies)]
    return _costliest(trace, copies[~meant], len(steps))


def _waits_otherwise(view: DeviceView, waits: StepWaits, steps: int) -> bool:
    """Return whether the launching thread waits in most steps in calls that copy nothing.

    A wait for a part of a step is for no tokens.
    """
    own_waits = view.waits & (view.trace.calls.thread == view.launching_thread)
    own_waits[view.blocking_copies] = False
    own_waits[waits.inside_calls] = False
    return bool(np.count_nonzero(own_waits) > MOST * steps)


def _copied(view: DeviceView, calls: Int64) -> Int64:
    """Return the name of the copy that each of some calls launched, as an index into the names."""
    by_call = np.argsort(view.launches, kind="stable")
    row = np.searchsorted(view.launches[by_call], calls)
    row = by_call[np.minimum(row, by_call.size - 1)]
    return view.operations.name[row].astype(np.int64)


def _next_calls(trace: Trace, rows: Int64) -> Int64:
    """Return the call after each, in the order of threads and starts; the last has itself."""
    order = np.lexsort((trace.calls.start, trace.calls.thread))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    return order[np.minimum(place[rows] + 1, order.size - 1)]


def _costliest(trace: Trace, waits: Int64, steps: int) -> Culprit | None:
    """Return the costliest of some waits, by name; None where there are too few per step."""
    if waits.size <= MOST * steps:
        return None
    calls = trace.calls
    names, by_name = by_value(calls.name[waits])
    waited = by_name.total(calls.end[waits] - calls.start[waits])
    worst = int(waited.argmax())
    rows = waits[by_name.row == worst]
    return Culprit(
        call=trace.names[names[worst]],
        inside=_most_often_around(trace, rows),
        count=int(rows.size),
        waited_ns=int(waited[worst]),
    )


def _most_often_around(trace: Trace, rows: Int64) -> str:
    """Return the name of the operator, range or frame that is most often innermost around calls."""
    return _most_often_open(trace, trace.calls.thread[rows], trace.calls.start[rows])


def _most_often_open(trace: Trace, threads: NDArray[np.int32], times: Int64) -> str:
    """Return the name of what is most often innermost at some times; "" for nothing."""
    seen: Counter[str] = Counter()
    for thread in distinct(threads).tolist():
        seen.update(names_around(trace, thread, times[threads == thread]))
    return seen.most_common(1)[0][0] if seen else ""
