"""A profiled window of a run beside the step clock's record of the same steps, and what profiling cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from idlescope.analysis.analyze import analyze
from idlescope.analysis.idle import occupancy
from idlescope.analysis.intervals import percent
from idlescope.analysis.result import Analysis
from idlescope.analysis.steps.host_phases import phase_times
from idlescope.capture.window import WARMUP_STEPS
from idlescope.errors import IdlescopeError
from idlescope.trace.model import Trace
from idlescope.trace.names import span_names
from idlescope.trace.open import open_trace
from idlescope.trace.table import Int64

LEAST = 3  # steps before or after the window that say how long one takes without a profiler


@dataclass(frozen=True)
class Profiled:
    """What a profiler recorded of the steps [first, last), and the step clock of the same; times in nanoseconds."""

    first: int
    last: int
    path: Path
    analysis: Analysis | None  # of the profiler's trace; None where it cannot be read
    problem: str | None  # why
    step_ns: dict[
        str, float | None
    ]  # median from step to step, before, inside and after the window
    idle_pct: dict[str, float | None]  # of the window, by the step clock and by the profiler
    phase_ns: dict[str, dict[str, int]]  # in the window, by the step clock and by the profiler

    @property
    def observer_pct(self) -> float | None:
        """Return how much longer a step takes under the profiler than before and after it, %."""
        around = [ns for when in ("before", "after") if (ns := self.step_ns[when]) is not None]
        inside = self.step_ns["inside"]
        return (
            100.0 * (inside / float(np.mean(around)) - 1.0)
            if around and inside is not None
            else None
        )

    def to_json(self) -> dict[str, Any]:
        """Return the `profiled` entry of a mode in summary.json."""
        steps = self.last - self.first
        found = None
        if self.analysis is not None:
            found = sum(host.starts.size for host in self.analysis.host_phases)
        return {
            "steps": [self.first, self.last],
            "trace": self.path.name,
            "steps_found": found,
            "step_ms": {
                when: None if ns is None else ns / 1e6 for when, ns in self.step_ns.items()
            },
            "observer_pct": self.observer_pct,
            "idle_pct": self.idle_pct,
            "phase_ms_per_step": {
                by: {name: ns / steps / 1e6 for name, ns in times.items()}
                for by, times in self.phase_ns.items()
            },
            "problem": self.problem,
        }


def compare(recording: Trace, first: int, last: int, path: Path) -> Profiled:
    """Return what a profiler wrote of the steps [first, last) beside the step clock's recording of the run."""
    starts = step_starts(recording)
    analysis, problem = None, None
    try:
        analysis = analyze(open_trace(path))
    except IdlescopeError as error:
        problem = str(error)
    by_profiler = (
        {} if analysis is None else _merged([host.total_ns for host in analysis.host_phases])
    )
    by_clock, _ = phase_times(
        recording, 0, span_names.recognise(recording.names, range(len(recording.names))),
        int(starts[first]), int(starts[last]) if last < starts.size else None,
    )  # fmt: skip
    inside = np.flatnonzero(
        (recording.operations.step >= first) & (recording.operations.step < last)
    )
    window = (
        int(recording.operations.start[inside].min()),
        int(recording.operations.end[inside].max()),
    )
    clock = occupancy.occupancy(recording.operations, window)
    device = analysis.results[0] if analysis is not None and analysis.results else None
    idle_pct = {
        "step clock": percent(clock.idle_ns, clock.window_ns), "profiler": None if device is None else device.idle_pct
    }  # fmt: skip
    return Profiled(
        first, last, path, analysis, problem, step_times(starts, first, last),
        idle_pct,
        {"step clock": by_clock, "profiler": by_profiler},
    )  # fmt: skip


def step_starts(recording: Trace) -> Int64:
    """Return when the host began each step of a recording."""
    r = recording.ranges
    rows = r.step >= 0
    starts = np.full(int(r.step.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(starts, r.step[rows], r.start[rows])
    return starts


def step_times(starts: Int64, first: int, last: int) -> dict[str, float | None]:
    """Return the median time from step to step before, inside and after the window [first, last), ns.

    As many steps before and after as inside. The last one inside holds the profiler's stop, those just before the
    window its start: they are left out.
    """
    each, n, ready = np.diff(starts), last - first, first - WARMUP_STEPS - 1
    parts = {
        "before": each[max(1, ready - n) : max(ready, 0)],
        "inside": each[first : last - 1],
        "after": each[last + 1 : last + 1 + n],
    }
    return {
        when: float(np.median(part)) if part.size >= (1 if when == "inside" else LEAST) else None
        for when, part in parts.items()
    }


def _merged(times: list[dict[str, int]]) -> dict[str, int]:
    merged: dict[str, int] = {}
    for each in times:
        for name, ns in each.items():
            merged[name] = merged.get(name, 0) + ns
    return merged
