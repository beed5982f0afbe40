"""Serving loops with something amiss in their records, or slow on their host: what is said is what is true."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.make.engine_loops import Loop
from tests.make.kineto_files import call, operation, span
from tests.make.serving_loops import HIP, MS, US, Plan, recorded
from tests.make.views import measured

SYNCHRONOUS, ASYNCHRONOUS = Plan(), Plan(depth=2)


def named(events, name):
    return [event for event in events if event["name"] == name]


def after(event):
    """When an event ends, ns."""
    return round((event["ts"] + event["dur"]) * 1000)


def with_calls(plan, name, length_ns):
    """The loop with a slow call before each step but the first, for which the host has time."""
    pauses = dict.fromkeys(range(1, plan.steps), length_ns + 200 * US)
    plan = Plan(**{**vars(plan), "pauses": pauses})
    events = recorded(plan)
    for wait in named(events, plan.wait)[:-1]:
        begin = after(wait) + plan.after_ns + 10 * US
        events.append(call(begin, begin + length_ns, 0, name))
    return events


@pytest.mark.parametrize(
    "name", ["cudaFree", "hipFree", "cudaMalloc", "cuMemFree_v2", "cudaHostAlloc"]
)
def test_what_an_allocator_does_between_steps_is_the_hosts_time_by_name(tmp_path, name):
    plan = Plan(names=HIP, wait="hipEventSynchronize") if name == "hipFree" else Plan()
    device = measured(tmp_path, with_calls(plan, name, 3 * MS))
    assert device.verdict.kind == "synchronous"
    label, ns = next(iter(device.host_ns.items()))
    assert (label, ns) == (f"call: {name}", 19 * 3 * MS)


def test_what_was_never_recorded_of_a_busy_device_leaves_it_busy(tmp_path):
    events = recorded(ASYNCHRONOUS)
    for number, launch in enumerate(named(events, "cudaGraphLaunch")):
        begin = round(launch["ts"] * 1000) - 3 * US
        events.append(call(begin, begin + US, 90_000 + number, "cudaMemsetAsync"))
    device = measured(tmp_path, events)
    assert device.doubts.bounds.apart
    assert device.verdict.kind == "busy"


def test_kernels_that_were_never_recorded_are_missing_and_no_clocks_disagree(tmp_path):
    events = [event for event in recorded(Plan(steps=30)) if event["cat"] != "kernel"]
    device = measured(tmp_path, events)
    assert device.verdict.kind == "cannot tell"
    assert not device.coverage.clock_ns
    assert "Records are missing" in device.verdict.text


def test_a_clock_that_is_ahead_makes_no_operations_of_graphs_missing(tmp_path):
    events = recorded(Plan(steps=30))
    for event in events:
        if event["cat"] in ("kernel", "gpu_memcpy"):
            event["ts"] += 2_000
    device = measured(tmp_path, events)
    assert device.coverage.clock_ns == pytest.approx(2 * MS, abs=50 * US)
    assert not device.doubts.bounds.apart


def test_between_two_windows_of_the_profiler_nothing_was_recorded(tmp_path):
    events = []
    for window in range(2):
        loop = recorded(Plan(steps=10))
        ends = [1 * MS, *(after(wait) for wait in named(loop, "cudaEventSynchronize"))]
        loop += [
            span(begin + 1, end, f"ProfilerStep#{number + 5}")
            for number, (begin, end) in enumerate(pairwise(ends))
        ]
        for event in loop:
            event["ts"] += window * 1_000_000
            if event["args"].get("correlation"):
                event["args"]["correlation"] += window * 1_000
        events += loop
    device = measured(tmp_path, events)
    assert (len(device.steps), device.batching.kind) == (20, "synchronous")
    assert device.spread.kind == "pauses"
    assert "the profiler was off meanwhile" in device.verdict.text
    assert device.prediction is None


def test_what_was_launched_last_of_all_may_not_have_run(tmp_path):
    """The recording of an asynchronous loop ends with a step launched and not yet begun."""
    events = recorded(Plan(steps=12, depth=2))
    last = max(event["args"]["correlation"] for event in named(events, "cudaGraphLaunch"))
    begun = [
        event
        for event in events
        if event["cat"] not in ("kernel", "gpu_memcpy")
        or event["args"]["correlation"] < last
    ]
    device = measured(tmp_path, begun)
    assert device.coverage.graph_launches_without_operations == 0
    assert device.batching.kind == "asynchronous"
    assert device.verdict.kind == "busy"


def test_graphs_of_which_none_has_operations_are_lost_though_they_come_last(tmp_path):
    events = recorded(Plan(steps=12))
    first = min(event["args"]["correlation"] for event in named(events, "cudaGraphLaunch"))
    only_first = [
        event
        for event in events
        if event["cat"] not in ("kernel", "gpu_memcpy")
        or event["args"]["correlation"] <= first
    ]
    assert measured(tmp_path, only_first).coverage.graph_launches_without_operations == 11


@pytest.mark.parametrize("depth", [1, 2])
def test_a_step_that_the_end_of_the_recording_cuts_off_is_not_replayed(tmp_path, depth):
    whole = measured(tmp_path, recorded(Plan(steps=8, depth=depth))).prediction
    events = recorded(Plan(steps=9, depth=depth))
    kernels = sorted(
        (event for event in events if event["cat"] == "kernel"),
        key=lambda event: event["ts"],
    )
    end = kernels[-8]["ts"]
    cut = [event for event in events if event["ts"] < end]
    prediction = measured(tmp_path, cut).prediction
    assert prediction.predicted.step_ns == pytest.approx(whole.predicted.step_ns, rel=0.01)


def test_copies_beside_the_steps_change_nothing_about_their_batching(tmp_path):
    """KV cache is offloaded while the device computes, and on: nothing waits for that."""
    events = recorded(Plan())
    for number, launch in enumerate(named(events, "cudaGraphLaunch")):
        begin = round(launch["ts"] * 1000) - 20 * US
        name = "Memcpy DtoH (Device -> Pinned)"
        events += [
            call(begin, begin + 5 * US, 90_000 + number, "cudaMemcpyAsync"),
            operation(
                begin + 10 * US, begin + 7_400 * US, "memcpy", 90_000 + number, 0, 20, name
            ),
        ]
    device = measured(tmp_path, events)
    assert (device.batching.kind, device.batching.early) == ("synchronous", 0)
    assert "computes nothing for 2" in device.verdict.text


def steps_in_two_parts(wait, count=16):
    """An asynchronous loop whose steps wait for their first part, and then let the device run dry."""
    loop, ends, now = Loop(), [], 0
    for number in range(count):
        begin = loop.now
        first = loop.launch(kernel_ns=600 * US)
        loop.events.append(
            span(loop.now, max(first, loop.now) + 2 * MS, "grammar: accept+fill")
        )
        loop.wait(first, wait)
        loop.now += 1_900 * US
        ends.append(loop.launch(kernel_ns=600 * US))
        loop.events.append(span(begin, loop.now, "scheduler.run_batch"))
        if number:
            loop.wait(ends[number - 1])
        now = loop.now
        loop.events.append(span(now, now + 100 * US, "scheduler.get_next_batch_to_run"))
        loop.now += 100 * US
    return loop.events


@pytest.mark.parametrize("wait", ["cudaStreamSynchronize", "cudaEventSynchronize"])
def test_a_wait_inside_steps_serialises_them_though_they_are_launched_early(tmp_path, wait):
    device = measured(tmp_path, steps_in_two_parts(wait))
    assert device.batching.early > 10
    assert device.verdict.kind == "serialised"
    culprit = device.batching.culprit
    assert (culprit.call, culprit.inside) == (wait, "grammar: accept+fill")


def test_an_engine_that_schedules_in_vain_has_no_demand(tmp_path):
    loop = Loop()
    for _ in range(12):
        for _ in range(6):
            loop.pause(80 * US, "scheduler.get_next_batch_to_run")
            loop.pause(900 * US)
        loop.pause(100 * US, "scheduler.get_next_batch_to_run")
        begin = loop.now
        end = loop.launch(kernel_ns=1 * MS)
        loop.events.append(span(begin, loop.now, "scheduler.run_batch"))
        loop.wait(end)
        loop.pause(100 * US, "scheduler.process_batch_result")
    device = measured(tmp_path, loop.events)
    assert (len(device.steps), len(device.empty)) == (12, 72)
    assert device.verdict.kind == "no demand"
    assert "72 of 84 iterations of the engine scheduled no token" in device.verdict.text
