"""Which times of records cannot be true, whatever format they come from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from idlescope.trace.table import Bool, Int64

# What no sound record shows: a kernel of an hour, a call of a day, a record a month away from those
# beside it.
HOUR_NS = 3_600_000_000_000
FAR_NS = 30 * 24 * HOUR_NS
LONGEST_NS = {"operations": HOUR_NS, "calls": 24 * HOUR_NS, "ranges": FAR_NS}
# Among records of around this time or less, a time of zero can be true.
ZERO_BELOW_NS = HOUR_NS


class Spans(NamedTuple):
    """Starts and durations of records of one kind, in ns, and which could be read at all."""

    kind: str  # of damage.KINDS
    start: Int64
    length: Int64
    readable: Bool


class Doubt(NamedTuple):
    """Records whose times cannot be true, and what is wrong with them."""

    what: str
    rows: Int64


def all_plausible(spans: Spans, typical: int) -> bool:
    """Return whether all times can be true, given a time (ns) that is typical of the file."""
    earliest, latest = int(spans.start.min()), int(spans.start.max())
    near = typical - FAR_NS <= earliest and latest <= typical + FAR_NS
    return bool(
        spans.readable.all()
        and near
        and spans.length.min() >= 0
        and spans.length.max() <= LONGEST_NS[spans.kind]
        and (earliest > 0 or latest < ZERO_BELOW_NS)
    )


def doubts(spans: Spans, typical: int) -> list[Doubt]:
    """Return the rows whose times cannot be true, each once, by what is wrong with them."""
    distance = np.abs(spans.start - typical)
    plausible_checks = (
        ("whose times are no numbers", spans.readable),
        ("that end before they start", spans.length >= 0),
        ("that last absurdly long", spans.length <= LONGEST_NS[spans.kind]),
        ("with a time of zero", (spans.start != 0) | (distance < ZERO_BELOW_NS)),
        ("far from all others in time", distance <= FAR_NS),
    )
    undoubted = np.ones(spans.start.size, np.bool_)
    found_doubts = []
    for what, passed in plausible_checks:
        rows = np.flatnonzero(undoubted & ~passed)
        if rows.size:
            found_doubts.append(Doubt(what, rows))
            undoubted[rows] = False
    return found_doubts
