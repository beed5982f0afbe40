"""Durations that nothing confirms and that outlast all else are doubted; long work that is waited for is not."""

from __future__ import annotations

import pytest

from tests.make.kineto_files import call, operation
from tests.make.views import measured

US = 1_000
MS = 1_000_000
STEP = 4 * MS


def eager_steps(count=20, kernels=10):
    """Kernels of 20 µs, launched one by one; nothing waits for them."""
    events, number = [], 0
    for step in range(count):
        for kernel in range(kernels):
            number += 1
            issued = step * STEP + kernel * 100 * US
            events.append(call(issued, issued + 5 * US, number))
            begun = issued + 10 * US
            events.append(operation(begun, begun + 20 * US, correlation=number))
    return events


def rare(start, length_ns, name="rare_kernel"):
    """A kernel whose name nothing else has."""
    return [
        call(start - 10 * US, start - 5 * US, 9_000),
        operation(start, start + length_ns, correlation=9_000, name=name),
    ]


AFTER_STEP_5 = 5 * STEP + 1 * MS


def test_a_rare_kernel_that_nothing_confirms_makes_idle_an_interval(tmp_path):
    truth = measured(tmp_path, eager_steps() + rare(AFTER_STEP_5, 2 * US)).idle_pct
    device = measured(tmp_path, eager_steps() + rare(AFTER_STEP_5, 2 * MS))
    bounds = device.doubts.bounds
    assert bounds.low_pct < truth <= bounds.high_pct
    assert device.coverage.corrupt_operations == 1


def test_work_that_was_queued_behind_it_confirms_how_long_it_ran(tmp_path):
    end = AFTER_STEP_5 + 2 * MS
    queued = [
        call(AFTER_STEP_5 + 50 * US, AFTER_STEP_5 + 55 * US, 9_001),
        operation(end + 1 * US, end + 21 * US, correlation=9_001),
    ]
    device = measured(tmp_path, eager_steps() + rare(AFTER_STEP_5, 2 * MS) + queued)
    assert not device.doubts.bounds.apart


def test_a_wait_that_returns_as_it_ends_confirms_how_long_it_ran(tmp_path):
    end = AFTER_STEP_5 + 2 * MS
    wait = [call(AFTER_STEP_5 + 50 * US, end + 20 * US, 0, "cudaStreamSynchronize")]
    device = measured(tmp_path, eager_steps() + rare(AFTER_STEP_5, 2 * MS) + wait)
    assert not device.doubts.bounds.apart


def test_where_several_last_so_long_it_is_usual(tmp_path):
    events = eager_steps()
    for step in (5, 9):
        events += rare(step * STEP + 1 * MS, 2 * MS, f"rare_{step}")
    assert not measured(tmp_path, events).doubts.bounds.apart


@pytest.mark.parametrize("name", ["rare_kernel", "ncclDevKernel_AllGather_RING_LL"])
def test_the_last_operation_of_all_is_doubted_whatever_it_does(tmp_path, name):
    at = 20 * STEP
    truth = measured(tmp_path, eager_steps() + rare(at, 20 * US, name)).idle_pct
    bounds = measured(tmp_path, eager_steps() + rare(at, 20 * MS, name)).doubts.bounds
    assert bounds.low_pct < truth <= bounds.high_pct + 0.1


def test_a_kernel_forty_times_as_long_as_any_of_its_name_is_doubted(tmp_path):
    events = eager_steps()
    kernels = [event for event in events if event["cat"] == "kernel"]
    kernels[59]["dur"] *= 60  # the last of its step
    assert measured(tmp_path, events).coverage.corrupt_operations == 1


@pytest.mark.parametrize(("queued", "doubted"), [(True, 0), (False, 1)])
def test_a_kernel_that_others_work_interrupted_is_not_doubted(tmp_path, queued, doubted):
    """Eight servers on one GPU, by turns of 2 ms: kernels of 0.1 ms took 18, and the next began then."""
    events = eager_steps()
    kernels = [event for event in events if event["cat"] == "kernel"]
    kernels[59]["dur"] *= 120  # the last of its step
    if queued:
        end = round((kernels[59]["ts"] + kernels[59]["dur"]) * US)
        events.append(call(end - MS, end - MS + 5 * US, 9_001))
        events.append(operation(end + 1 * US, end + 21 * US, correlation=9_001))
    assert measured(tmp_path, events).coverage.corrupt_operations == doubted
