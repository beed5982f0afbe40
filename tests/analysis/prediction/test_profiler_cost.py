"""What the profiler is estimated to add is the same, however its records are divided."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from idlescope.analysis.prediction import profiler_cost
from idlescope.analysis.prediction.recorded_steps import RecordedSteps
from idlescope.hardware.latencies import PROFILED_FRAME_NS, PROFILED_RECORD_NS
from idlescope.trace.model import RangeKind
from tests.make.traces import trace

LAUNCHES = [0, 100, 1_000, 3_000, 20_000, 20_000, 28_000, 60_000]


def _steps(kinds):
    ranges = [
        (start, start + 50, 0, 0, kind, -1)
        for start, kind in zip(LAUNCHES, kinds, strict=True)
    ]
    return cast(RecordedSteps, SimpleNamespace(trace=trace(ranges=ranges), thread=0))


def _one_by_one(costs):
    """Return what `_added_time` says, with one object per record."""
    busy = []
    for start, cost in zip(LAUNCHES, costs, strict=True):
        begin = max(start, busy[-1][1]) if busy else start
        if busy and begin == busy[-1][1]:
            busy[-1][1] = begin + cost
        else:
            busy.append([begin, begin + cost])
    return busy


@pytest.mark.parametrize("stretch", [1, 2, 3, 1_000])
def test_costs_queue_up_across_stretches_of_records(monkeypatch, stretch):
    kinds = [RangeKind.OPERATOR, RangeKind.FRAME] * 4
    costs = [PROFILED_RECORD_NS, PROFILED_FRAME_NS] * 4
    monkeypatch.setattr(profiler_cost, "CHUNK", stretch)
    added = profiler_cost._added_time(_steps(kinds))
    assert np.transpose(added).tolist() == _one_by_one(costs)
