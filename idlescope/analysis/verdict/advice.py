"""What a reader of one device's figures should know, and can do about it."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.measured import MeasuredDevice
from idlescope.analysis.steps.find import RECORDED

STARTING_NS = 2_000_000  # a first gap this much longer than five usual ones is not the engine's own
ENOUGH_STEPS = 4


def advice(result: MeasuredDevice) -> list[str]:
    """Return one sentence for each thing to know of a device's figures."""
    c, said, which = result.coverage, [], f"device {result.device.index}"
    if result.longest and len(result.steps) >= ENOUGH_STEPS:
        usual = float(np.median(result.steps.idle[1:]))
        if (
            result.longest[0].step == int(result.steps.number[0])
            and result.steps.idle[0] > 5 * usual + STARTING_NS
        ):
            said.append(
                f"{which}: the first step exposes {result.steps.idle[0] / 1e6:.1f} ms of idle, the others "
                f"{usual / 1e6:.1f} ms: probably the profiler starting up; leave it out with --window "
                f"steps:{result.steps.number[1]}-{result.steps.number[-1]}"
            )
    if c.launched_before_recording:
        said.append(
            f"{which}: {c.launched_before_recording:,} operations were launched before the recording began and have no "
            "known cause"
        )
    if (
        c.graph_mode == "graph-level" and result.steps.found != RECORDED
    ):  # our own step clock has nothing finer
        said.append(
            f"{which}: CUDA graphs are recorded as one piece each, so idle time inside them does not show; record with "
            "nsys --cuda-graph-trace=node to see it"
        )
    if c.operations_before_launch:
        said.append(
            f"{which}: {c.operations_before_launch:,} operations start before their launch does: clocks that disagree, "
            "or corrupted records"
        )
    if c.first_step_clipped or c.last_step_clipped:
        ends = [
            end
            for end, cut in (("first", c.first_step_clipped), ("last", c.last_step_clipped))
            if cut
        ]
        said.append(
            f"{which}: the {' and the '.join(ends)} step is cut off: it has few of the usual operations"
        )
    return said
