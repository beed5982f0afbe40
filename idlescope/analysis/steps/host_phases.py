"""How often the host stepped, and how long it spent in each phase of an engine: what is known without any device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from idlescope.analysis.steps.find import find_by_names
from idlescope.analysis.steps.measure import union_by
from idlescope.trace.model import RangeKind, Trace
from idlescope.trace.names.span_names import SpanNames
from idlescope.trace.table import Int64


@dataclass(frozen=True)
class HostPhases:
    """The phases of one process; times in nanoseconds."""

    process: str
    found: str  # how steps were found
    starts: Int64  # of the steps
    spans: dict[str, int]  # how many spans each phase has
    total_ns: dict[str, int]  # the time they cover together

    @property
    def step_ns(self) -> int | None:
        """Return the median time from the start of a step to the start of the next; None for fewer than two."""
        return int(np.median(np.diff(self.starts))) if self.starts.size > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return the process's entry of `phases` in `analyze --json`."""
        return {
            "process": self.process, "steps": int(self.starts.size), "steps_found_by": self.found,
            "step_ns": self.step_ns,
            "phases": {name: {"spans": self.spans[name], "total_ns": ns} for name, ns in self.total_ns.items()},
        }  # fmt: skip


def host_phases(trace: Trace, known: SpanNames) -> tuple[HostPhases, ...]:
    """Return the phases of each process that has any; its steps are those that spans tell."""
    processes = []
    for process in dict.fromkeys(thread.process for thread in trace.threads):
        total_ns, spans = phase_times(trace, process, known)
        found, host = find_by_names(trace, process, known)
        starts = np.full(int(host.step.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(starts, host.step, host.start)
        starts = np.sort(starts[starts < np.iinfo(np.int64).max])
        if total_ns or starts.size:
            name = _name(trace, process)
            processes.append(HostPhases(name, found, starts, spans, total_ns))
    return tuple(processes)


def phase_times(
    trace: Trace, process: int, known: SpanNames, low: int | None = None, high: int | None = None
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the nanoseconds that each phase of a process covers, and its spans: those that begin in [low, high)."""
    r = trace.ranges
    phase = known.phase[r.name] if len(r) else np.empty(0, np.int32)
    rows = (r.kind == RangeKind.ANNOTATION) & (phase >= 0) & trace.threads_of(process)[r.thread]
    if low is not None:
        rows &= r.start >= low
    if high is not None:
        rows &= r.start < high
    group = phase[rows].astype(np.int64)
    covered = union_by(group, r.start[rows], r.end[rows], len(known.labels))
    count = np.bincount(group, minlength=len(known.labels))
    used = [i for i in range(len(known.labels)) if count[i]]
    return {known.labels[i]: int(covered[i]) for i in used}, {
        known.labels[i]: int(count[i]) for i in used
    }


def _name(trace: Trace, process: int) -> str:
    names = [device.process_name for device in trace.devices if device.process == process]
    return (
        names[0]
        if names
        else next(thread.label for thread in trace.threads if thread.process == process)
    )
