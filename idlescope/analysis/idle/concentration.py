"""Whether idle time is a cost of every step, a few pauses, or a lack of requests.

Idle that few gaps hold is no cost per step. A pause is a gap that is several times as long as a
usual step takes. What the host did in it tells what it is: nothing at all, outside of the spans of
a known engine that does not say itself when there is no request, is no demand; so are gaps in which
the engine scheduled no token.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import NamedTuple

import numpy as np
from msgspec import Struct, structs

from idlescope.analysis.grouping import Groups, by_key
from idlescope.analysis.idle import host_time
from idlescope.analysis.idle.causes import CAUSES, Gaps
from idlescope.analysis.idle.host_labels import CALL_PREFIX, NO_DEMAND, is_untraced
from idlescope.analysis.intervals import percent
from idlescope.analysis.steps.measure import Steps
from idlescope.analysis.view import DeviceView
from idlescope.trace.table import Bool, Int64

PAUSE_STEPS = 2  # a gap as long as so many usual steps is a pause
ENOUGH_STEPS = 3  # steps that make one of them usual
MOST = 0.5  # share of idle that decides
LONGEST_SHARE = 0.01  # of the gaps
MAX_EXPLAINED = 50  # pauses whose host time is divided; the longest
# Edges of the histogram of gap lengths, ns.
EDGES = (0, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
NOTHING_RECORDED = "nothing that was recorded"


class Spread(str, Enum):
    """How idle time is spread over the steps; equal to, hashed and written as its value."""

    PER_STEP = "per step"
    PAUSES = "pauses"
    NO_DEMAND = "no demand"
    NONE = "none"  # there is no idle time

    __str__ = str.__str__
    __hash__ = str.__hash__


class Concentration(Struct, frozen=True):
    """How concentrated the idle time of one device is. Times in nanoseconds."""

    kind: Spread
    longest_pct: float  # of idle, held by the longest 1 % of gaps
    half_in_steps: int  # the fewest steps that hold half of the idle time of steps
    pauses: int
    pauses_ns: int  # summed
    longest_pause_ns: int
    pauses_cause_ns: dict[str, int]  # their time by cause
    pauses_host_ns: dict[str, int]  # of the cause `host`, by what the host did
    doing: str  # what the host did in most of the pauses' time; "" where there are none
    is_inside_span: bool  # whether that is a span or frame with nothing recorded within
    no_demand_gaps: int
    no_demand_ns: int  # idle for want of work

    @property
    def pause_ns(self) -> int:
        """Return the mean length of a pause; 0 where there are none."""
        return self.pauses_ns // self.pauses if self.pauses else 0

    @property
    def work_is_guessed(self) -> bool:
        """Return whether most idle time is for want of work, and the engine did not say when."""
        return self.kind == Spread.NO_DEMAND and self.no_demand_gaps > 0

    @property
    def apart_ns(self) -> int:
        """Return the idle time that is no cost of a step: pauses, and that for want of work."""
        return self.pauses_ns + self.no_demand_ns


class LengthBin(NamedTuple):
    """The gaps of some lengths, [low, high) in ns, with their idle time by cause."""

    low_ns: int
    high_ns: int | None  # None: no limit
    gaps: int
    cause_ns: dict[str, int]


def gap_lengths(gaps: Gaps) -> list[LengthBin]:
    """Return the histogram of gap lengths, a bin per power of ten, by cause."""
    bin_of_gap = np.searchsorted(EDGES, gaps.length, "right") - 1
    by_bin = Groups(bin_of_gap, len(EDGES))
    counts = by_bin.sizes().tolist()
    totals = {cause: by_bin.total(getattr(gaps, cause)).tolist() for cause in CAUSES}
    highs = (*EDGES[1:], None)
    return [
        LengthBin(low, high, counts[row], {cause: totals[cause][row] for cause in CAUSES})
        for row, (low, high) in enumerate(zip(EDGES, highs, strict=True))
    ]


class Apart(NamedTuple):
    """The gaps that are no cost of a step, all of them or a part."""

    starved: Bool  # of each gap: no token was scheduled in it, or nothing at all was done
    pauses: Int64  # rows of gaps
    doing: list[str]  # what the host did in each pause
    ns: Int64  # how much of each gap is no cost of a step; all of one that is starved or a pause

    @property
    def touched(self) -> Bool:
        """Return which gaps are no cost of a step, in part at least."""
        return np.asarray(self.ns > 0, np.bool_)


def usual_step_ns(steps: Steps, of_trace: Steps) -> float | None:
    """Return how long a step usually takes; None where too few are known.

    Of a window with few of them, `steps`, it is that of the whole trace, from end to end.
    """
    step_ns = steps.device + steps.idle
    # A step of which the device has no record says nothing of how long steps take.
    recorded_ns = step_ns[step_ns > 0]
    if recorded_ns.size < ENOUGH_STEPS:
        recorded_ns = np.diff(of_trace.computed[of_trace.operations > 0])
    return float(np.median(recorded_ns)) if recorded_ns.size >= ENOUGH_STEPS else None


def set_apart(
    view: DeviceView,
    gaps: Gaps,
    usual_ns: float | None,
    empty: Steps,
    step: Int64,
) -> Apart:
    """Return which gaps are no cost of a step.

    `gaps` are those with what was said to be without requests; a pause is what is left of one.
    `usual_ns` is `usual_step_ns`, `empty` the steps that scheduled no token, `step` is the number
    of the step, of either sort, of each operation.
    """
    starved = _starved(gaps, empty, step)
    candidates = np.flatnonzero(_is_pause(gaps, usual_ns) & ~starved)
    labels = _doing(view, gaps, candidates)
    leaves_untold = _leaves_demand_untold(view)
    asked_nothing = np.array(
        [leaves_untold and is_untraced(label) for label in labels], np.bool_
    )
    starved[candidates[asked_nothing]] = True
    pauses = candidates[~asked_nothing]
    pause_labels = [
        label for row, label in zip(candidates, labels, strict=True) if row in pauses
    ]
    apart_ns = np.where(starved, gaps.length, gaps.no_demand)
    apart_ns[pauses] = gaps.length[pauses]
    return Apart(starved, pauses, pause_labels, apart_ns)


def concentration(
    gaps: Gaps, steps: Steps, apart: Apart, pauses_host_ns: dict[str, int]
) -> Concentration:
    """Return how the idle time of a device is spread.

    `pauses_host_ns` is the `host` idle of the pauses by what the host did.
    """
    idle_ns = int(gaps.length.sum())
    starved, pauses = apart.starved, gaps.take(apart.pauses)
    pause_ns = pauses.length - pauses.no_demand
    pauses_ns = int(pause_ns.sum())
    starved_ns = int(apart.ns.sum()) - pauses_ns
    pauses_cause_ns = pauses.totals()
    pauses_cause_ns["host"] -= int(pauses.no_demand.sum())
    doing = _most(apart.doing, pause_ns)
    return Concentration(
        kind=_kind(idle_ns, starved_ns, pauses_ns),
        longest_pct=round(_longest_pct(gaps), 2),
        half_in_steps=_half_in(steps.idle),
        pauses=len(pauses),
        pauses_ns=pauses_ns,
        longest_pause_ns=int(pause_ns.max(initial=0)),
        pauses_cause_ns=pauses_cause_ns,
        pauses_host_ns=pauses_host_ns,
        doing=doing,
        is_inside_span=doing not in ("", *CAUSES)
        and not doing.startswith((CALL_PREFIX, "launch: ")),
        no_demand_gaps=int(starved.sum()),
        no_demand_ns=starved_ns,
    )


def _kind(idle_ns: int, starved_ns: int, pauses_ns: int) -> Spread:
    if not idle_ns:
        return Spread.NONE
    if starved_ns >= MOST * idle_ns:
        return Spread.NO_DEMAND
    if pauses_ns >= MOST * idle_ns:
        return Spread.PAUSES
    # Both together are no cost per step, either.
    if starved_ns + pauses_ns >= MOST * idle_ns:
        return Spread.NO_DEMAND if starved_ns > pauses_ns else Spread.PAUSES
    return Spread.PER_STEP


def _is_pause(gaps: Gaps, usual_ns: float | None) -> Bool:
    """Return which gaps are several times as long as a usual step takes.

    What of a gap there was said to be no request for does not count.
    """
    if usual_ns is None:
        return np.zeros(len(gaps), np.bool_)
    with_demand_ns = gaps.length - gaps.no_demand
    return np.asarray(with_demand_ns >= PAUSE_STEPS * usual_ns, np.bool_)


def _starved(gaps: Gaps, empty: Steps, step: Int64) -> Bool:
    """Return the gaps in which the engine scheduled no token, or that a dummy batch ended."""
    starved = np.zeros(len(gaps), np.bool_)
    if not len(empty) or not len(gaps):
        return starved
    gap = np.searchsorted(gaps.start, empty.start, "right") - 1
    begun_inside = (gap >= 0) & (empty.start < gaps.end[gap]) & (empty.operations == 0)
    starved[gap[begun_inside]] = True
    ended = np.flatnonzero(gaps.operation >= 0)
    _, of_empty = by_key(empty.number, step[gaps.operation[ended]])
    starved[ended[of_empty]] = True
    return starved


def _doing(view: DeviceView, gaps: Gaps, rows: Int64) -> list[str]:
    """Return what the host did for most of each of some gaps, as `host_time` calls it.

    What there was said to be no request for does not count. Of many gaps only the longest are
    looked at; the others are called as the longest one is.
    """
    if not rows.size:
        return []
    longest = np.sort(rows[np.argsort(-gaps.length[rows], kind="stable")][:MAX_EXPLAINED])
    some = gaps.take(longest)
    with_demand = {cause: getattr(some, cause) for cause in CAUSES}
    with_demand["host"] = some.host - some.no_demand
    each = Groups(np.arange(len(some)), len(some))
    by_label = host_time.divide_by(_near(view, some), some, each)
    by_label.pop(NO_DEMAND, None)
    labels = []
    for row in range(len(some)):
        cause = max(CAUSES, key=lambda name: int(with_demand[name][row]))
        if cause == "host":
            labels.append(max(by_label, key=lambda name: int(by_label[name][row])))
        else:
            labels.append(_by_cause(view, some, row, cause))
    label_of_gap = dict(zip(longest.tolist(), labels, strict=True))
    usual = labels[int(np.argmax(some.length))]
    return [label_of_gap.get(row, usual) for row in rows.tolist()]


def _near(view: DeviceView, gaps: Gaps) -> DeviceView:
    """Return the view with those ranges only that overlap some gaps: there may be millions."""
    ranges = view.trace.ranges
    row = np.minimum(np.searchsorted(gaps.end, ranges.start, "right"), len(gaps) - 1)
    overlapping = (ranges.start < gaps.end[row]) & (ranges.end > gaps.start[row])
    return structs.replace(view, trace=replace(view.trace, ranges=ranges.take(overlapping)))


def _by_cause(view: DeviceView, gaps: Gaps, row: int, cause: str) -> str:
    """Return what a gap that is not the host's is due to."""
    if cause == "launch":
        call = view.trace.calls.name[gaps.call[row]]
        return f"launch: {view.trace.names[call]}"
    return cause


def _leaves_demand_untold(view: DeviceView) -> bool:
    """Return whether a host that did nothing in a pause is taken for one without requests.

    A known engine that works is within its spans for most of the time. One whose process says
    itself when there was no request is believed.
    """
    return bool(view.names.engine) and not host_time.no_request(view).start.size


def _most(labels: list[str], length: Int64) -> str:
    """Return the label that most of some lengths have; "" where there are none."""
    total: dict[str, int] = {}
    for label, ns in zip(labels, length.tolist(), strict=True):
        total[label] = total.get(label, 0) + ns
    most = max(total, key=lambda label: total[label], default="")
    return NOTHING_RECORDED if is_untraced(most) else most


def _longest_pct(gaps: Gaps) -> float:
    """Return the share of idle that the longest 1 % of gaps hold, of one gap at least, in %."""
    if not len(gaps):
        return 0.0
    longest = max(1, round(LONGEST_SHARE * len(gaps)))
    length = np.sort(gaps.length)[::-1]
    return percent(int(length[:longest].sum()), int(length.sum()))


def _half_in(idle: Int64) -> int:
    """Return the fewest steps that hold half of the idle time of all of them."""
    held = np.cumsum(np.sort(idle)[::-1])
    if not held.size or not held[-1]:
        return 0
    return int(np.searchsorted(held, held[-1] / 2, "left")) + 1
