"""How often the host stepped and how long its phases took: known without any device."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from idlescope.analysis.grouping import Groups, by_value
from idlescope.analysis.steps.find import find_by_names
from idlescope.analysis.steps.step_kind import StepKind
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Int64


class HostPhases(Struct, frozen=True):
    """The phases of one process; times in nanoseconds."""

    process: str
    found: str  # how steps were found
    starts: Int64  # of the steps
    spans: dict[str, int]  # how many spans each phase has
    total_ns: dict[str, int]  # the time they cover together

    @property
    def step_ns(self) -> int | None:
        """Return the median time from one step's start to the next's; None for fewer than two."""
        return int(np.median(np.diff(self.starts))) if self.starts.size > 1 else None


def host_phases(trace: Trace, names: SpanNames) -> tuple[HostPhases, ...]:
    """Return the phases of each process that has any; its steps are those that spans tell."""
    # of a process without ranges nothing is told, and there may be as many as there are threads
    has_ranges = np.zeros(len(trace.threads), np.bool_)
    has_ranges[trace.ranges.thread] = True
    with_ranges = set(trace.process_of_thread[has_ranges].tolist())
    processes = dict.fromkeys(
        thread.process for thread in trace.threads if thread.process in with_ranges
    )
    phases = [_of_process(trace, process, names) for process in processes]
    return tuple(found for found in phases if found.total_ns or found.starts.size)


def _of_process(trace: Trace, process: int, names: SpanNames) -> HostPhases:
    total_ns, spans = phase_times(trace, process, names)
    steps = find_by_names(trace, process, names)
    of_requests = steps.kind != StepKind.EMPTY.code
    ranges = steps.ranges.take(of_requests)
    _, by_step = by_value(ranges.step)
    return HostPhases(
        process=_process_name(trace, process),
        found=steps.found,
        starts=np.sort(by_step.first(ranges.start)),
        spans=spans,
        total_ns=total_ns,
    )


def phase_times(
    trace: Trace,
    process: int,
    names: SpanNames,
    low: int | None = None,
    high: int | None = None,
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the nanoseconds that each phase of a process covers, and how many spans it has.

    Only spans that begin in [low, high) count.
    """
    ranges = trace.ranges.take(trace.ranges.kind == RangeKind.ANNOTATION)
    ranges = ranges.take(trace.threads_of(process)[ranges.thread])
    if low is not None:
        ranges = ranges.take(ranges.start >= low)
    if high is not None:
        ranges = ranges.take(ranges.start < high)
    if not len(ranges):
        return {}, {}
    ranges = ranges.take(names.phase[ranges.name] >= 0)

    by_phase = Groups(names.phase[ranges.name], len(names.labels))
    covered = by_phase.covered(ranges.start, ranges.end).tolist()
    counts = by_phase.sizes().tolist()
    total_ns, spans = {}, {}
    for label, ns, count in zip(names.labels, covered, counts, strict=True):
        if count:
            total_ns[label], spans[label] = ns, count
    return total_ns, spans


def _process_name(trace: Trace, process: int) -> str:
    """Return what the trace calls a process, else the label of its first thread."""
    for device in trace.devices:
        if device.process == process:
            return device.process_name
    return next(thread.label for thread in trace.threads if thread.process == process)
