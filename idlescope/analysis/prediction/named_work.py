"""Host work by what it is for: a phase, a span, or copies that block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.prediction.host_work import HostWork
from idlescope.errors import ConfigError
from idlescope.trace.distinct import distinct
from idlescope.trace.model import RangeKind, Ranges
from idlescope.trace.names.engines import IDLE, PROFILER_STEP, STEP
from idlescope.trace.names.span_names import recognise
from idlescope.trace.table import Int64

PHASES_NAMED = 12  # in a message
SMALL = 0.01  # of a step's time: a phase that costs less is not worth naming


class _Labelled(NamedTuple):
    """The ranges of the launching thread, and what each name of the trace is called."""

    ranges: Ranges
    labels: Sequence[str]  # for each name of the trace: phase, else span; "" of neither


def phase_columns(work: HostWork, name: str) -> dict[str, Int64]:
    """Return the host columns of one phase, span or range of the launching thread, in ns.

    Raises ConfigError where it has none of that name.
    """
    return _columns_of(work, _labelled(work), name)


def largest_phase(work: HostWork) -> str | None:
    """Return the phase or span that costs the host most; None where none costs much."""
    labelled = _labelled(work)
    cost_ns = {}
    for name in sorted(set(labelled.labels) - {"", STEP, IDLE}):
        columns = _columns_of(work, labelled, name)
        cost_ns[name] = sum(int(column.sum()) for column in columns.values())
    largest = max(cost_ns, key=lambda name: cost_ns[name], default=None)
    least = SMALL * work.steps.step_ns * work.steps.whole.sum()
    return largest if largest and cost_ns[largest] > least else None


def blocking_copy_columns(work: HostWork) -> dict[str, Int64]:
    """Return the host columns of copies that block because their memory is not pinned, in ns."""
    copies = work.blocking_copies
    copy_end = work.steps.trace.calls.end[copies.call]
    return work.columns(intervals.union(copies.begun, copy_end))


def _columns_of(work: HostWork, labelled: _Labelled, name: str) -> dict[str, Int64]:
    both_names = zip(labelled.labels, work.steps.trace.names, strict=True)
    matches = [name in either for either in both_names]
    is_named = np.array(matches, np.bool_)
    ranges = labelled.ranges
    ranges = ranges.take(is_named[ranges.name])
    if not len(ranges):
        labels = sorted(set(labelled.labels) - {""})
        known = ", ".join(labels[:PHASES_NAMED])
        raise ConfigError(
            f"no phase, span or range of the launching thread is called {name!r}: "
            f"it has {known or 'none'}"
        )
    return work.columns(intervals.union(ranges.start, ranges.end))


def _labelled(work: HostWork) -> _Labelled:
    names, ranges = work.steps.trace.names, work.steps.trace.ranges
    ranges = ranges.take(ranges.thread == work.steps.thread)
    ranges = ranges.take(ranges.kind <= RangeKind.FRAME)
    annotated = ranges.name[ranges.kind == RangeKind.ANNOTATION]
    annotations = distinct(annotated).tolist()
    known = recognise(names, annotations)
    labels = [""] * len(names)
    for index in annotations:
        phase = int(known.phase[index])
        if phase >= 0:
            labels[index] = known.labels[phase]
        elif not PROFILER_STEP.match(names[index]):
            labels[index] = names[index]
    return _Labelled(ranges, labels)
