"""Idle without the profiler: a recorded step is longer than an unrecorded one.

The profiler costs the host time, and in a synchronous loop all of that is idle time of the device.
Where the step time without it is known, idle without it follows; else both are bounded by an
estimate from what was recorded. For a watch by activity CUPTI is what the profiler is for others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from idlescope.analysis import intervals
from idlescope.analysis.idle.of_steps import beside
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.prediction.prediction import Prediction
from idlescope.analysis.prediction.profiler_cost import unprofiled_is_known
from idlescope.hardware.latencies import (
    CUPTI_COPY_NS,
    CUPTI_KERNEL_NS,
    UNPROFILED_GRAPH_LAUNCH_NS,
)
from idlescope.trace.metadata import Metadata
from idlescope.trace.names.calls import GRAPH_LAUNCH, matching
from idlescope.trace.unprofiled import UnprofiledStep
from idlescope.trace.watch_said import CUPTI, PROFILER, recorder

# The device's own time per step is up to this much longer while it is recorded (vLLM on an H200,
# asynchronous and never idle: 6.54 ms recorded, 6.16 ms not; synchronous ones hardly differ).
DEVICE_LONGER = 0.03
ESTIMATE_OFF = 0.3  # the estimated share of the profiler may be off by so much
BY_CUPTI = (
    f"less what CUPTI adds to launching: all beyond {UNPROFILED_GRAPH_LAUNCH_NS / 1e6} ms for a "
    f"CUDA graph, {CUPTI_KERNEL_NS / 1e3} µs for a kernel, {CUPTI_COPY_NS / 1e3} for a copy"
)
DEAR_OPTIONS = {
    "with_stack": "stacks",
    "record_shapes": "shapes",
    "profile_memory": "memory",
}
LONG_GRAPH_LAUNCH_NS = 200_000  # without a profiler it takes less than 100 µs


class Observer(Struct, frozen=True):
    """A device's idle time without the profiler, beside what was recorded."""

    known: bool  # whether the step time without the profiler is known, not estimated
    method: str  # how it was found
    recorded_step_ns: float  # without pauses, and time for want of requests
    step_ns: float
    low_ns: float  # the bounds of the step time
    high_ns: float
    busy_ns: float  # time per step in which the device was active, as recorded
    options: tuple[str, ...]  # of the profiler, that made it dear
    recorder: str  # "the profiler", or what else recorded

    @property
    def idle_low_pct(self) -> float:
        """Return the least share of a step in which the device is idle without the profiler."""
        return _idle_pct(self.busy_ns, self.low_ns)

    @property
    def idle_high_pct(self) -> float:
        """Return the largest such share: the device itself may be faster without the profiler."""
        longer = 0.0 if self.recorder == CUPTI else DEVICE_LONGER
        return _idle_pct(self.busy_ns * (1 - longer), self.high_ns)

    @property
    def idle_ms_per_step(self) -> float:
        """Return the idle time per step without the profiler, in the middle of the bounds."""
        middle_pct = (self.idle_low_pct + self.idle_high_pct) / 2
        return self.step_ns * middle_pct / 100 / 1e6

    def text(self) -> str:
        """Return idle without the profiler in a sentence."""
        idle = f"{self.idle_low_pct:.0f} to {self.idle_high_pct:.0f} %"
        if f"{self.idle_low_pct:.0f}" == f"{self.idle_high_pct:.0f}":
            idle = f"about {self.idle_low_pct:.0f} %"
        recorded_ms, step_ms = self.recorded_step_ns / 1e6, self.step_ns / 1e6
        if self.known:
            return (
                f"Without {self.recorder} the device is idle for {idle} of a step: it takes "
                f"{step_ms:.2f} ms instead of {recorded_ms:.2f} ({self.method})."
            )
        with_options = with_each(self.options)
        return (
            f"These figures are under the profiler{with_options}, which costs the host time: "
            f"without it a step takes about {step_ms:.2f} ms instead of {recorded_ms:.2f}, idle "
            f"for {idle} of it ({self.method}; give --step-ms where it is known)."
        )


def observe(device: MeasuredDevice, prediction: Prediction | None) -> Observer | None:
    """Return what a device's idle time is without the profiler.

    It is on the part that the verdict is on, and `prediction`, which holds the estimate. None where
    no profiler recorded the device, or nothing tells.
    """
    device = device.judged_part
    usual = _between_ends(device)
    known = device.unprofiled or _told(prediction)
    if known is None or not usual.length.sum():
        return None
    recorded_ns = float(usual.length.mean())
    idle_ns = intervals.covered_within(device.occupancy.gaps, usual.start, usual.end)
    busy_share = 1 - float(idle_ns.sum() / usual.length.sum())
    if device.unprofiled is None and prediction is not None:
        # What the recorder adds is that of the steps that were replayed.
        recorded_ns = prediction.recorded.step_ns
    return Observer(
        known=unprofiled_is_known(device),
        method=known.method,
        recorded_step_ns=recorded_ns,
        step_ns=known.step_ms * 1e6,
        low_ns=known.low_ms * 1e6,
        high_ns=known.high_ms * 1e6,
        busy_ns=recorded_ns * busy_share,
        options=_what_cost_most(device),
        recorder=recorder(device.view.trace.meta),
    )


def _between_ends(device: MeasuredDevice) -> Intervals:
    """Return the times from the end of one step to that of the next, within the window.

    Those with a pause, or with idle time for want of requests, are left out: that is no cost of a
    step, and what the device runs before and after it is not usual.
    """
    done = np.maximum.accumulate(device.steps.done[device.steps.operations > 0])
    times = Intervals(done[:-1], done[1:])
    usual = ~beside(device.gaps.take(device.apart.touched), times)
    usual &= (times.start >= device.window.start) & (times.end <= device.window.end)
    return Intervals(times.start[usual], times.end[usual])


def _told(prediction: Prediction | None) -> UnprofiledStep | None:
    """Return the step time without the profiler as a prediction tells it."""
    if prediction is None or prediction.unprofiled is None:
        return None
    recorded_ns, step_ns = prediction.recorded.step_ns, prediction.unprofiled.step_ns
    share_ns = max(recorded_ns - step_ns, 0.0)
    if share_ns < 0.01 * recorded_ns:
        return None
    low_ns = step_ns - ESTIMATE_OFF * share_ns
    high_ns = step_ns + ESTIMATE_OFF * share_ns
    method = "estimated from what was recorded"
    if prediction.unprofiled_is_known:  # what is left to a launch is the most that it takes
        high_ns, method = step_ns, BY_CUPTI
    return UnprofiledStep(step_ns / 1e6, low_ns / 1e6, high_ns / 1e6, method)


def dear_options(meta: Metadata) -> list[str]:
    """Return the options that cost much, of those that a profiler says it recorded with."""
    return [word for key, word in DEAR_OPTIONS.items() if meta.extra.get(key)]


def with_each(options: Sequence[str]) -> str:
    """Return options as they follow what they are of; empty where there are none."""
    return f" with {' and '.join(options)}" if options else ""


def _what_cost_most(device: MeasuredDevice) -> tuple[str, ...]:
    """Return what the profiler was asked for that costs most."""
    trace = device.view.trace
    options = dear_options(trace.meta)
    calls = trace.calls
    graphs = np.flatnonzero(matching(GRAPH_LAUNCH, trace.names)[calls.name])
    if graphs.size and recorder(trace.meta) == PROFILER:
        usual_ns = float(np.median(calls.end[graphs] - calls.start[graphs]))
        if usual_ns > LONG_GRAPH_LAUNCH_NS:
            options.append(
                f"a record for each kernel of a graph ({usual_ns / 1e6:.1f} ms a launch)"
            )
    return tuple(options)


def _idle_pct(busy_ns: float, step_ns: float) -> float:
    return max(0.0, 100.0 * (1 - busy_ns / step_ns))
