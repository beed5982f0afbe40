"""What a reader of one device's figures should know, and can do about it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.find import RECORDED

# A first gap that is this much longer than five usual ones is not the engine's own.
STARTING_NS = 2_000_000
USUAL_GAPS = 5
ENOUGH_STEPS = 4


def advice(result: MeasuredDevice) -> list[str]:
    """Return one sentence for each thing to know of a device's figures."""
    sentences = (*_profiler_start(result.judged_part), *_records(result), *_clipped(result))
    return [f"device {result.device.index}: {sentence}" for sentence in sentences]


def _profiler_start(result: MeasuredDevice) -> Iterator[str]:
    """Yield where the first step's idle looks like the profiler starting up."""
    steps = result.steps
    if not result.longest or len(steps) < ENOUGH_STEPS:
        return
    first_idle = int(steps.idle[0])
    usual_idle = float(np.median(steps.idle[1:]))
    too_long = first_idle > USUAL_GAPS * usual_idle + STARTING_NS
    first, second, *_, last = steps.number.tolist()
    if too_long and result.longest[0].step == first:
        yield (
            f"the first step exposes {first_idle / 1e6:.1f} ms of idle, the others "
            f"{usual_idle / 1e6:.1f} ms: probably the profiler starting up; leave it out with "
            f"--window steps:{second}-{last}"
        )


def _records(result: MeasuredDevice) -> Iterator[str]:
    """Yield what records do not show, and records that cannot be right."""
    coverage = result.coverage
    if coverage.launched_before_recording:
        yield (
            f"{coverage.launched_before_recording:,} operations were launched before the recording "
            "began and have no known cause"
        )
    # Our own step clock has nothing finer.
    if coverage.graph_mode == "graph-level" and result.steps.found != RECORDED:
        yield (
            "CUDA graphs are recorded as one piece each, so idle time inside them does not show; "
            "record with nsys --cuda-graph-trace=node to see it"
        )
    if coverage.operations_before_launch:
        yield (
            f"{coverage.operations_before_launch:,} operations start before their launch does: "
            "clocks that disagree, or corrupted records"
        )


def _clipped(result: MeasuredDevice) -> Iterator[str]:
    """Yield which end of the recording cuts a step off."""
    coverage = result.coverage
    ends = []
    if coverage.first_step_clipped:
        ends.append("first")
    if coverage.last_step_clipped:
        ends.append("last")
    if ends:
        yield (
            f"the {' and the '.join(ends)} step is cut off: it has few of the usual operations"
        )
