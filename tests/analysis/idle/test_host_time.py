"""What the launching thread did in a gap of 100 µs that is the host's: each instant is charged once."""

import numpy as np

from idlescope.analysis.grouping import Groups
from idlescope.analysis.idle.host_time import divide_by
from tests.make.host_time import divide
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


def test_what_is_within_a_phase_is_said_under_it_and_waits_come_before_phases(tmp_path):
    device = host_gap(
        tmp_path,
        span(50_000, 120_000, SCHEDULE),
        span(60_000, 70_000, "aten::add", "cpu_op"),
        span(120_000, 160_000, RUN_BATCH),
        call(80_000, 95_000, 0, "cudaStreamSynchronize"),
    )
    assert device.host_ns == {
        f"schedule ({SCHEDULE})": 45_000,
        "schedule › aten::add": 10_000,
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


def test_time_of_a_step_is_named_by_what_precedes_and_follows(tmp_path):
    device = host_gap(
        tmp_path,
        span(45_000, 155_000, "execute_context_0(0)_generation_32(32)"),
        span(50_000, 60_000, "aten::slice", "cpu_op"),
        call(80_000, 81_000, 0, "cudaEventRecord"),
        span(82_000, 90_000, "aten::copy_", "cpu_op"),
    )
    assert device.host_ns == {
        "step: between aten::copy_ and cudaLaunchKernel": 60_000,
        "step: between aten::slice and cudaEventRecord": 20_000,
        "step › aten::slice": 10_000,
        "step › aten::copy_": 8_000,
        # the call, and 1 µs between it and the operator: too little to be named
        "step (execute_context_N(N)_generation_N(N))": 2_000,
    }


def test_time_between_phases_is_named_by_them(tmp_path):
    device = host_gap(
        tmp_path, span(10_000, 60_000, RUN_BATCH), span(90_000, 140_000, SCHEDULE), span(150_500, 151_000, RUN_BATCH)
    )  # fmt: skip
    assert device.host_ns == {
        f"schedule ({SCHEDULE})": 50_000,
        "between forward and schedule": 30_000,
        f"forward ({RUN_BATCH})": 10_000,
        "between schedule and forward": 10_000,
    }


def test_between_two_spans_of_one_phase_the_wait_tells(tmp_path):
    device = host_gap(
        tmp_path,
        span(10_000, 50_000, "step[DECODE bs=8]"),
        call(55_000, 75_000, 0, "cudaStreamSynchronize"),
        span(120_000, 155_000, "step[DECODE bs=9]"),
    )
    assert device.host_ns == {
        "between cudaStreamSynchronize and forward": 45_000,
        "forward (step[DECODE bs=N])": 30_000,
        "call: cudaStreamSynchronize": 20_000,
        "between forward and forward": 5_000,
    }


def test_names_that_differ_only_by_numbers_are_one_label(tmp_path):
    device = host_gap(
        tmp_path,
        span(50_000, 80_000, "my batch of 32 tokens"),
        span(80_000, 110_000, "my batch of 512 tokens"),
        span(110_000, 130_000, "aten::conv2d", "cpu_op"),
        span(130_000, 140_000, "aten::conv3d", "cpu_op"),
        span(140_000, 150_000, "stage 2"),
    )
    assert device.host_ns == {
        "range: my batch of N tokens": 60_000,
        "range: aten::conv2d": 20_000,
        "range: aten::conv3d": 10_000,
        "range: stage 2": 10_000,
    }


def test_the_scheduler_of_another_thread_is_charged_while_the_launching_one_waits(tmp_path):
    device = host_gap(
        tmp_path,
        span(40_000, 70_000, "scheduler.process_batch_result", tid=7),
        span(70_000, 120_000, SCHEDULE, tid=7),
        span(110_000, 160_000, "step[DECODE bs=8]"),
    )
    assert device.host_ns == {
        f"schedule ({SCHEDULE})": 40_000,
        "forward (step[DECODE bs=N])": 40_000,
        "postprocess (scheduler.process_batch_result)": 20_000,
    }


def test_the_scheduler_of_another_process_is_charged(tmp_path):
    schedule = span(50_000, 90_000, "schedule: allocate_slots") | {"pid": 60}
    device = host_gap(
        tmp_path, schedule, span(100_000, 160_000, "gpu_model_runner: preprocess"), span(40_000, 49_000, "execute_context_0(0)_generation_2(2)")
    )  # fmt: skip
    assert device.host_ns == {
        "prepare (gpu_model_runner: preprocess)": 50_000,
        "schedule (schedule: allocate_slots)": 40_000,
        "between step and prepare": 10_000,
    }


def test_two_schedulers_in_other_processes_are_not_told_apart(tmp_path):
    spans = [
        span(50_000, 90_000, "schedule: allocate_slots") | {"pid": pid} for pid in (60, 61)
    ]
    device = host_gap(
        tmp_path, *spans, span(90_000, 160_000, "gpu_model_runner: preprocess")
    )
    assert device.host_ns == {
        "prepare (gpu_model_runner: preprocess)": 60_000,
        "untraced": 40_000,
    }


SHM = "vllm/distributed/device_communicators/shm_broadcast.py"


def test_a_worker_that_polls_shared_memory_waits_for_another_process(tmp_path):
    device = host_gap(
        tmp_path,
        span(40_000, 160_000, "vllm/v1/executor/multiproc_executor.py(930): worker_busy_loop", "python_function"),
        span(45_000, 110_000, f"{SHM}(680): dequeue", "python_function"),
        span(46_000, 109_000, f"{SHM}(560): acquire_read", "python_function"),
        *(span(start, start + 9_000, "<built-in function sched_yield>", "python_function")
          for start in range(50_000, 100_000, 10_000)),
        span(120_000, 160_000, "execute_context_0(0)_generation_32(32)"),
    )  # fmt: skip
    assert device.host_ns == {
        "waits for another process (shm_broadcast)": 60_000,
        "step (execute_context_N(N)_generation_N(N))": 30_000,
        "range: vllm/v1/executor/multiproc_executor.py(930): worker_busy_loop": 10_000,
    }


def test_a_look_into_an_empty_mailbox_is_no_wait(tmp_path):
    recv = "zmq/sugar/socket.py(1005): recv_pyobj"
    device = host_gap(tmp_path, span(50_000, 80_000, recv, "python_function"))
    assert device.host_ns == {"untraced": 70_000, f"range: {recv}": 30_000}


def test_batches_without_requests_are_no_demand(tmp_path):
    device = host_gap(
        tmp_path,
        span(40_000, 90_000, RUN_BATCH),
        span(50_000, 80_000, "step[IDLE bs=0]"),
        span(60_000, 70_000, "aten::empty", "cpu_op"),
        span(90_000, 160_000, SCHEDULE),
    )
    assert device.host_ns == {
        f"schedule ({SCHEDULE})": 60_000,
        "no demand": 30_000,
        f"forward ({RUN_BATCH})": 10_000,
    }


def test_waiting_for_other_ranks_is_a_phase_and_the_verdict_says_so(tmp_path):
    events = []
    for step in range(8):
        begin = 1000 + step * 100_000
        events += [
            span(begin, begin + 5_000, "_schedule"),
            span(begin + 5_000, begin + 80_000, "_can_queue"),
            span(begin + 80_000, begin + 90_000, "_forward_step"),
            call(begin + 85_000, begin + 86_000, step + 1, "cudaGraphLaunch"),
            operation(begin + 87_000, begin + 120_000, correlation=step + 1),
        ]
    device = measured(tmp_path, events)
    assert next(iter(device.host_ns)) == "rank_wait (_can_queue)"
    assert "rank_wait (_can_queue): it waits for other ranks" in device.verdict.text
    assert "slower side" not in device.verdict.text
