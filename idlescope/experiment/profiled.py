"""A profiled window beside the step clock's record of the same steps: what profiling cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from idlescope.analysis.analyze import analyze
from idlescope.analysis.idle.occupancy import occupancy as occupancy_of
from idlescope.analysis.intervals import percent
from idlescope.analysis.result import Analysis
from idlescope.analysis.steps.host_phases import phase_times
from idlescope.capture.window import WARMUP_STEPS
from idlescope.errors import IdlescopeError
from idlescope.experiment.document import ProfiledWindow, StepTimes
from idlescope.trace.model import Trace
from idlescope.trace.names.span_names import recognise
from idlescope.trace.open import open_trace
from idlescope.trace.table import Int64

STEP_CLOCK, PROFILER = "step clock", "profiler"  # whose figures
LEAST = 3  # steps before or after the window that say how long one takes without a profiler


@dataclass(frozen=True)
class Profiled:
    """What a profiler recorded of the steps [first, last), and the step clock of the same.

    Times in nanoseconds.
    """

    first: int
    last: int
    path: Path
    analysis: Analysis | None  # of the profiler's trace; None where it cannot be read
    problem: str | None  # why
    step_ns: dict[
        str, float | None
    ]  # median from step to step, before, inside and after the window
    idle_pct: dict[
        str, float | None
    ]  # of the window, by the step clock and by the profiler
    phase_ns: dict[
        str, dict[str, int]
    ]  # in the window, by the step clock and by the profiler

    @property
    def observer_pct(self) -> float | None:
        """Return how much longer a step takes under the profiler than before and after it, %."""
        unprofiled = (self.step_ns["before"], self.step_ns["after"])
        around = [ns for ns in unprofiled if ns is not None]
        inside = self.step_ns["inside"]
        if inside is None or not around:
            return None
        return 100.0 * (inside / float(np.mean(around)) - 1.0)

    def document(self) -> ProfiledWindow:
        """Return the `profiled` entry of a mode in summary.json."""
        steps_found = None
        if self.analysis is not None:
            steps_found = sum(host.starts.size for host in self.analysis.host_phases)
        step_ms = {
            time_of_run: None if duration_ns is None else duration_ns / 1e6
            for time_of_run, duration_ns in self.step_ns.items()
        }
        step_count = self.last - self.first
        return ProfiledWindow(
            steps=(self.first, self.last),
            trace=self.path.name,
            steps_found=steps_found,
            step_ms=StepTimes(**step_ms),
            observer_pct=self.observer_pct,
            idle_pct=self.idle_pct,
            phase_ms_per_step={
                source: {
                    phase_name: duration_ns / step_count / 1e6
                    for phase_name, duration_ns in source_times.items()
                }
                for source, source_times in self.phase_ns.items()
            },
            problem=self.problem,
        )


def compare(recording: Trace, first: int, last: int, path: Path) -> Profiled:
    """Return what a profiler wrote of the steps [first, last) beside the step clock's recording.

    `recording` is that of the whole run; `path` is the profiler's trace, which may be unreadable.
    """
    analysis, problem = None, None
    try:
        analysis = analyze(open_trace(path))
    except IdlescopeError as error:
        problem = str(error)
    profiler_idle_pct, profiler_phases = None, {}
    if analysis is not None:
        profiler_phases = _merged([host.total_ns for host in analysis.host_phases])
        if analysis.results:
            profiler_idle_pct = analysis.results[0].idle_pct
    starts = step_starts(recording)
    return Profiled(
        first=first,
        last=last,
        path=path,
        analysis=analysis,
        problem=problem,
        step_ns=step_times(starts, first, last),
        idle_pct={
            STEP_CLOCK: _clock_idle_pct(recording, first, last),
            PROFILER: profiler_idle_pct,
        },
        phase_ns={
            STEP_CLOCK: _clock_phases(recording, starts, first, last),
            PROFILER: profiler_phases,
        },
    )


def _clock_idle_pct(recording: Trace, first: int, last: int) -> float:
    """Return how idle the device was during some steps, per cent."""
    operations = recording.operations
    profiled_rows = np.flatnonzero((operations.step >= first) & (operations.step < last))
    window = (
        int(operations.start[profiled_rows].min()),
        int(operations.end[profiled_rows].max()),
    )
    occupancy = occupancy_of(operations, window)
    return percent(occupancy.idle_ns, occupancy.window_ns)


def _clock_phases(recording: Trace, starts: Int64, first: int, last: int) -> dict[str, int]:
    """Return how long the host was in each phase during some steps, by the step clock, ns."""
    span_names = recognise(recording.names, range(len(recording.names)))
    window_end = int(starts[last]) if last < starts.size else None
    phase_ns, _ = phase_times(recording, 0, span_names, int(starts[first]), window_end)
    return phase_ns


def step_starts(recording: Trace) -> Int64:
    """Return when the host began each step of a recording, ns; index: the step's number."""
    range_steps = recording.ranges.step
    step_rows = range_steps >= 0
    starts = np.full(int(range_steps.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(starts, range_steps[step_rows], recording.ranges.start[step_rows])
    return starts


def step_times(starts: Int64, first: int, last: int) -> dict[str, float | None]:
    """Return the median time from step to step before, in and after the window [first, last), ns.

    As many steps before and after as inside. The last one inside holds the profiler's stop, those
    just before the window its start: they are left out. None of too few steps.
    """
    from_step_to_step, step_count = np.diff(starts), last - first
    profiler_starts = first - WARMUP_STEPS - 1
    steps_by_part = {
        "before": from_step_to_step[
            max(1, profiler_starts - step_count) : max(profiler_starts, 0)
        ],
        "inside": from_step_to_step[first : last - 1],
        "after": from_step_to_step[last + 1 : last + 1 + step_count],
    }
    least_steps = {"before": LEAST, "inside": 1, "after": LEAST}
    return {
        time_of_run: float(np.median(ns)) if ns.size >= least_steps[time_of_run] else None
        for time_of_run, ns in steps_by_part.items()
    }


def _merged(times: list[dict[str, int]]) -> dict[str, int]:
    """Return the sum of each phase over several processes."""
    merged: dict[str, int] = {}
    for phases in times:
        for phase_name, duration in phases.items():
            merged[phase_name] = merged.get(phase_name, 0) + duration
    return merged
