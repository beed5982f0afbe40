"""Steps are found by what the trace has: spans, the profiler's steps, graph launches, waits."""

import pytest

from tests.make.engine_loops import KERNELS, sglang_two_threads
from tests.make.kineto_files import call, operation, span
from tests.make.views import measured

STEP = 100_000


def loop(steps, launch="cudaLaunchKernel", wait="cudaStreamSynchronize", spans=()):
    """A step every 100 µs: launched at 20 µs, running to 70 µs, waited for until 71 µs."""
    events = []
    for step in range(steps):
        start = step * STEP
        events.append(call(start + 20_000, start + 21_000, step + 1, launch))
        events.append(operation(start + 25_000, start + 70_000, correlation=step + 1))
        if wait:
            events.append(call(start + 30_000, start + 71_000, 0, wait))
        events += [span(start + low, start + high, name) for low, high, name in spans]
    return events


SGLANG = (
    (0, 10_000, "scheduler.get_next_batch_to_run"),
    (10_000, 60_000, "scheduler.run_batch"),
)


@pytest.mark.parametrize(
    ("events", "found"),
    [
        (loop(5, spans=SGLANG), "sglang spans"),
        (loop(5, launch="cudaGraphLaunch"), "graph launches"),
        (loop(5, launch="cudaGraphLaunch", wait=None), "graph launches"),
        (loop(5), "waiting calls"),
    ],
)
def test_each_launch_is_of_its_step(tmp_path, events, found):
    device = measured(tmp_path, events)
    assert device.steps.found == found
    assert device.step.tolist() == [0, 1, 2, 3, 4]


def test_the_profilers_own_numbers_are_taken(tmp_path):
    spans = [
        span(step * STEP, (step + 1) * STEP, f"ProfilerStep#{step + 7}")
        for step in range(3)
    ]
    device = measured(tmp_path, loop(3) + spans)
    assert (device.steps.found, device.step.tolist()) == ("ProfilerStep#", [7, 8, 9])


def test_too_few_launches_make_no_rhythm(tmp_path):
    device = measured(tmp_path, loop(2))
    assert (device.steps.found, len(device.steps)) == ("none", 0)
    assert device.step.tolist() == [-1, -1]


def test_a_schedule_that_finds_nothing_to_do_begins_no_step(tmp_path):
    polls = [span(72_000, 75_000, "scheduler.get_next_batch_to_run")]
    device = measured(tmp_path, loop(4, spans=SGLANG) + polls)
    assert len(device.steps) == 4
    assert device.steps.start.tolist() == [0, STEP, 2 * STEP, 3 * STEP]


def test_of_nested_spans_the_outermost_begin_steps(tmp_path):
    nested = ((2_000, 5_000, "get_next_batch_to_run"), *SGLANG)
    assert len(measured(tmp_path, loop(4, spans=nested)).steps) == 4


@pytest.mark.parametrize("synchronous", [True, False])
def test_what_another_thread_launches_is_of_the_step_that_was_handed_to_it(
    tmp_path, synchronous
):
    """Scheduling in one thread, launching and waiting in another: as in one thread."""
    device = measured(tmp_path, sglang_two_threads(20, synchronous))
    steps = device.steps
    assert steps.operations.tolist() == [KERNELS] * 20
    assert device.step.tolist() == [number for number in range(20) for _ in range(KERNELS)]
    assert (steps.host[2:-1] < 1_000_000).all()  # what it waited for the other is no work
    assert steps.early[2:].all() != synchronous
