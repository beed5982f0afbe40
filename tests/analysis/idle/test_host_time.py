"""What the launching thread did in a gap of 100 µs that is the host's: each instant is charged once."""

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle.host_time import divide, divide_by
from tests.make.kineto_files import call, operation, span
from tests.make.views import measured

SCHEDULE, RUN_BATCH = "scheduler.get_next_batch_to_run", "scheduler.run_batch"


def host_gap(tmp_path, *events):
    """A gap from 50 to 150 µs, launched at its end by the thread 100."""
    launches = [call(0, 1_000, 1), call(150_000, 151_000, 2)]
    operations = [
        operation(10_000, 50_000, correlation=1),
        operation(150_000, 190_000, correlation=2),
    ]
    return measured(tmp_path, [*launches, *operations, *events])


def test_what_nothing_tells_is_untraced(tmp_path):
    device = host_gap(tmp_path, span(60_000, 90_000, "other thread", tid=7))
    assert device.host_ns == {"untraced": 100_000}


def test_the_innermost_range_is_charged(tmp_path):
    device = host_gap(
        tmp_path,
        span(40_000, 160_000, "outer"),
        span(60_000, 90_000, "inner"),
        span(70_000, 80_000, "aten::copy_", "cpu_op"),
    )
    assert device.host_ns == {
        "range: outer": 70_000,
        "range: inner": 20_000,
        "range: aten::copy_": 10_000,
    }


def test_phases_come_before_what_is_within_them_and_waits_before_phases(tmp_path):
    device = host_gap(
        tmp_path,
        span(50_000, 120_000, SCHEDULE),
        span(60_000, 70_000, "aten::add", "cpu_op"),
        span(120_000, 160_000, RUN_BATCH),
        call(80_000, 95_000, 0, "cudaStreamSynchronize"),
    )
    assert device.host_ns == {
        f"schedule ({SCHEDULE})": 55_000,
        f"forward ({RUN_BATCH})": 30_000,
        "call: cudaStreamSynchronize": 15_000,
    }


def test_numbers_of_whole_steps_make_no_labels_of_their_own(tmp_path):
    device = host_gap(
        tmp_path,
        span(50_000, 80_000, "step[DECODE bs=3]"),
        span(80_000, 150_000, "step[DECODE bs=17]"),
    )
    assert device.host_ns == {"forward (step[DECODE bs=N])": 100_000}


def test_numbered_steps_of_a_profiler_are_one_range(tmp_path):
    device = host_gap(
        tmp_path, span(0, 90_000, "ProfilerStep#1"), span(90_000, 160_000, "ProfilerStep#2")
    )
    assert device.host_ns == {"range: ProfilerStep#": 100_000}


def test_groups_of_gaps_divide_what_is_divided_in_all(tmp_path):
    events = [call(250_000, 251_000, 3), operation(250_000, 260_000, correlation=3)]
    device = host_gap(tmp_path, *events, span(60_000, 200_000, "x"))
    by_gap = divide_by(device.view, device.gaps, Groups(np.array([0, 2]), 3))
    assert {label: ns.tolist() for label, ns in by_gap.items()} == {
        "range: x": [90_000, 0, 10_000],
        "untraced": [10_000, 0, 50_000],
    }
    assert divide(device.view, device.gaps) == {"range: x": 100_000, "untraced": 60_000}
