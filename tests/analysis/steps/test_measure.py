"""What each step cost."""

import numpy as np
import pytest

from idlescope.analysis.intervals import AFTER_EVERYTHING, BEFORE_EVERYTHING
from idlescope.analysis.steps.measure import blocked
from idlescope.trace.model import Ranges
from tests.make.kineto_files import call, operation, span
from tests.make.views import measured


def two_steps(tmp_path, *events):
    spans = [span(0, 100_000, "ProfilerStep#0"), span(100_000, 200_000, "ProfilerStep#1")]
    return measured(tmp_path, [*spans, *events])


def test_a_step_without_operations_has_neither_launch_nor_end(tmp_path):
    device = two_steps(
        tmp_path, call(10_000, 11_000, 1), operation(15_000, 20_000, correlation=1)
    )
    steps = device.steps
    assert steps.operations.tolist() == [1, 0]
    assert steps.launched.tolist() == [10_000, AFTER_EVERYTHING]
    assert steps.done.tolist() == [20_000, BEFORE_EVERYTHING]
    assert steps.has_launch.tolist() == [True, False]


def test_a_small_kernel_that_prepares_does_not_launch_the_step(tmp_path):
    device = two_steps(
        tmp_path,
        call(10_000, 11_000, 1),
        operation(15_000, 16_000, correlation=1),
        call(50_000, 51_000, 2),
        operation(52_000, 98_000, correlation=2),
    )
    assert device.steps.launched[0] == 50_000


def test_a_step_without_kernels_goes_by_its_copies(tmp_path):
    device = two_steps(
        tmp_path,
        call(10_000, 11_000, 1, "cudaMemcpyAsync"),
        operation(15_000, 60_000, "memcpy", 1),
        call(110_000, 111_000, 2),
        operation(115_000, 160_000, correlation=2),
    )
    assert device.steps.launched.tolist() == [10_000, 110_000]


def test_idle_is_exposed_by_the_step_whose_operation_ends_the_gap(tmp_path):
    device = two_steps(
        tmp_path,
        call(10_000, 11_000, 1),
        operation(15_000, 60_000, correlation=1),
        call(110_000, 111_000, 2),
        operation(115_000, 160_000, correlation=2),
    )
    assert device.steps.idle.tolist() == [0, 55_000]
    assert device.steps.device.tolist() == [45_000, 45_000]


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [(0, 50, [0]), (0, 100_001, [0, 1]), (190_000, 300_000, [1])],
)
def test_steps_within_a_window_are_those_that_worked_in_it(tmp_path, low, high, numbers):
    device = two_steps(
        tmp_path, call(10_000, 11_000, 1), operation(15_000, 60_000, correlation=1)
    )
    assert device.steps.within(low, high).number.tolist() == numbers


def test_waiting_is_counted_once_per_range_and_thread(tmp_path):
    device = two_steps(
        tmp_path,
        operation(0, 1_000),
        call(20_000, 40_000, 0, "cudaStreamSynchronize"),
        call(30_000, 50_000, 0, "cudaEventSynchronize"),
        call(90_000, 120_000, 0, "cudaStreamSynchronize"),
        call(10_000, 190_000, 0, "cudaStreamSynchronize", tid=7),
    )
    trace = device.view.trace
    steps = np.array(
        [trace.names[name].startswith("ProfilerStep") for name in trace.ranges.name]
    )
    host: Ranges = trace.ranges.take(steps)
    found = blocked(trace, host, device.waits, Ranges.empty())
    assert found.length.tolist() == [40_000, 20_000]
    assert found.last_end.tolist() == [100_000, 120_000]
