"""A pipeline that steps are sent through: arithmetic by hand."""

from __future__ import annotations

import numpy as np

from idlescope.analysis.prediction.replay import replay
from idlescope.analysis.prediction.step_costs import StepCosts
from idlescope.hardware.latencies import SUCCESSION_NS


def equal(n, **columns):
    """So many equal steps, what is not given being zero."""
    made = {name: np.zeros(n, np.int64) for name in StepCosts.__struct_fields__}
    return StepCosts(
        **{**made, **{name: np.full(n, value, np.int64) for name, value in columns.items()}}
    )


def test_a_pipeline_by_hand():
    steps = equal(
        4,
        lead=10_000,
        after=5_000,
        latency=1_000,
        compute=40_000,
        kernels=40_000,
        tail=2_000,
    )
    # one by one: 10 + 1 + 40 + 2 + 5
    assert replay(steps, 1).finished.tolist() == [58_000, 116_000, 174_000, 232_000]
    # in flight: the device is the limit, 40 us a step and what lies between two
    two = replay(steps, 2)
    each = 40_000 + SUCCESSION_NS
    assert two.end.tolist() == [51_000 + i * each for i in range(4)]
    assert two.finished.tolist() == [end + 7_000 for end in two.end.tolist()]
    # every other step needs the tokens of the one before it: it starts as the first one did
    needs = np.array([-1, 0, 0, 2])
    assert replay(steps, 2, needs).end.tolist() == [
        51_000,
        109_000,
        109_000 + each,
        109_000 + each + 58_000,
    ]
