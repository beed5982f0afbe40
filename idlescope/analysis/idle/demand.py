"""What of the host's idle time there was no request for.

A recording may say so itself: by a range in which the engine waited for requests. Else gaps in
which no token was scheduled, or in which a known engine did nothing for longer than steps take, are
such (`concentration.set_apart`). No demand is no work of the host, whoever else has a label for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from idlescope.analysis import intervals
from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle import host_time
from idlescope.analysis.idle.causes import Gaps
from idlescope.analysis.idle.concentration import Apart
from idlescope.analysis.idle.host_labels import NO_DEMAND
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.view import DeviceView
from idlescope.trace.table import Bool


class HostTime(NamedTuple):
    """`host` idle by what the host did, largest first, in ns."""

    all: dict[str, int]
    pauses: dict[str, int]  # what of it lies in pauses


def divide(view: DeviceView, gaps: Gaps, apart: Apart) -> HostTime:
    """Return `host` idle by what the host did, starved gaps and pauses apart.

    The values add up to `gaps.host.sum()`; all of a starved gap's host part is `no demand`. What of
    a pause there was no request for is none of it.
    """
    in_pause = np.zeros(len(gaps), np.int64)
    in_pause[apart.pauses] = 1
    usual = ~apart.starved
    by_label = host_time.divide_by(view, gaps.take(usual), Groups(in_pause[usual], 2))
    totals = {label: int(ns.sum()) for label, ns in by_label.items()}
    of_pauses = {label: int(ns[1]) for label, ns in by_label.items() if ns[1]}
    of_pauses.pop(NO_DEMAND, None)
    starved_ns = int(gaps.host[apart.starved].sum())
    if starved_ns:
        totals[NO_DEMAND] = totals.get(NO_DEMAND, 0) + starved_ns
    return HostTime(_largest_first(totals), _largest_first(of_pauses))


def _largest_first(by_label: dict[str, int]) -> dict[str, int]:
    return dict(sorted(by_label.items(), key=lambda item: (-item[1], item[0])))


def causes_apart(gaps: Gaps, host_ns: Mapping[str, int]) -> dict[str, int]:
    """Return idle by cause, in ns, with no demand as a cause of its own, apart from the host."""
    no_demand_ns = host_ns.get(NO_DEMAND, 0)
    totals = gaps.totals()
    totals["host"] -= no_demand_ns
    return {NO_DEMAND: no_demand_ns, **totals}


def with_said(view: DeviceView, gaps: Gaps) -> Gaps:
    """Return the gaps with what of their `host` part the process says it had no request for."""
    of_host = Intervals(gaps.start, gaps.start + gaps.host)
    shared = intervals.overlaps(of_host, host_time.no_request(view))
    said_ns = Groups(shared.left, len(gaps)).total(shared.intervals.length)
    return replace(gaps, no_demand=said_ns)


def with_starved(gaps: Gaps, starved: Bool) -> Gaps:
    """Return the gaps, all of the `host` part of the starved ones without a request."""
    return replace(gaps, no_demand=np.where(starved, gaps.host, gaps.no_demand))
