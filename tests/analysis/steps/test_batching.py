"""The verdict names the batching that a trace shows. The fixtures were recorded on GPUs (tests/fixtures/README.md)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import idlescope
from idlescope.analysis.grouping import by_value
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.trace.model import Ranges
from idlescope.trace.open import open_trace
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, span, write

MS = 1_000_000


def analysed(name):
    (device,) = idlescope.analyze(open_trace(FIXTURES / name)).results
    return device


@pytest.mark.parametrize(
    ("loop", "kind", "batching"),
    [
        ("sync", "synchronous", "synchronous"),
        ("async", "busy", "asynchronous"),
        ("item", "serialised", "serialised"),
        ("pageable", "serialised", "serialised"),
        ("eager", "launch-bound", "synchronous"),
        ("copies", "copy-bound", "synchronous"),
    ],
)
def test_loops_recorded_on_a_gpu_are_told_apart(loop, kind, batching):
    device = analysed(f"loop_{loop}.json.gz")
    assert (device.steps.found, len(device.steps)) == ("ProfilerStep#", 12)
    assert (device.verdict.kind, device.batching.kind) == (kind, batching)
    assert device.batching.followers == 11
    assert device.batching.early == (11 if batching == "asynchronous" else 0)


def test_what_serialises_is_named_with_its_count_and_cost():
    item = analysed("loop_item.json.gz").batching.culprit
    assert (item.call, item.inside, item.count) == (
        "cudaStreamSynchronize",
        "aten::_local_scalar_dense",
        11,
    )
    assert "(an .item()): 11 times, 2.45 ms per step" in item.text(12)
    copy = analysed("loop_pageable.json.gz").batching.culprit
    assert (copy.call, copy.inside, copy.count) == ("cudaMemcpyAsync", "aten::copy_", 12)
    assert copy.waited_ns / 12 == pytest.approx(4.1 * MS, rel=0.02)


def test_transformers_before_and_after():
    sync, later = (
        analysed("transformers_sync.json.gz"),
        analysed("transformers_async.json.gz"),
    )
    assert (sync.verdict.kind, sync.batching.early, len(sync.steps)) == (
        "synchronous",
        0,
        6,
    )
    assert next(iter(sync.host_ns)) == "prepare (cb:prepare_batch_tensors)"
    assert (later.verdict.kind, later.batching.early, later.batching.followers) == (
        "asynchronous",
        5,
        5,
    )
    assert (
        later.coverage.in_flight_at_start
        == later.coverage.launched_before_recording
        == 1472
    )


def loop(tmp_path, steps, kernel_ns, host_ns, ahead, wait_before_launch=False, spans=True):
    """A loop that launches each step `ahead` of its predecessor's end, or waits for it first."""
    events, end = [], 0
    for i in range(steps):
        begin = max(0, end - ahead) if i else 0
        launch = begin + host_ns
        if wait_before_launch and i:
            events.append(call(launch - 1000, end + 1000, 0, "cudaStreamSynchronize"))
            events.append(span(launch - 2000, end + 2000, "aten::item", "cpu_op"))
            launch = end + 3000
        start = max(end, launch + 500)
        if spans:
            events.append(span(begin, launch + 400, f"ProfilerStep#{i}"))
        events.append(call(launch, launch + 300, i + 1, "cudaGraphLaunch"))
        events.append(operation(start, start + kernel_ns, correlation=i + 1))
        end = start + kernel_ns
        if not ahead:
            events.append(call(launch + 350, end + 50, 0, "cudaStreamSynchronize"))
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    return device


def test_work_launched_ahead_is_asynchronous(tmp_path):
    assert loop(tmp_path, 8, 50_000, 10_000, ahead=40_000).batching.kind == "asynchronous"


def test_a_host_slower_than_the_device_is_asynchronous_all_the_same(tmp_path):
    device = loop(tmp_path, 8, 50_000, 90_000, ahead=40_000)
    assert (device.batching.kind, device.batching.early) == ("asynchronous", 0)
    assert "the host is the slower side" in device.verdict.text


def test_a_wait_while_preparing_serialises(tmp_path):
    device = loop(tmp_path, 8, 50_000, 10_000, ahead=40_000, wait_before_launch=True)
    assert device.batching.kind == "serialised"
    assert device.batching.culprit.inside == "aten::item"
    assert (
        "serialised by cudaStreamSynchronize in aten::item (an .item()): 7 times"
        in device.verdict.text
    )


def test_the_culprit_is_one_though_it_stands_in_spans_with_numbers(tmp_path):
    events, end = [], 0
    for i in range(8):
        begin = max(0, end - 40_000) if i else 0
        launch = max(end + 3000, begin + 10_000)
        if i:
            events.append(call(begin + 9000, end + 1000, 0, "cudaEventSynchronize"))
        events += [
            span(begin, launch + 400, f"ProfilerStep#{i}"),
            call(launch, launch + 300, i + 1, "cudaGraphLaunch"),
        ]
        events.append(operation(launch + 500, launch + 50_500, correlation=i + 1))
        end = launch + 50_500
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    culprit = device.batching.culprit
    assert (culprit.call, culprit.inside, culprit.count) == (
        "cudaEventSynchronize",
        "ProfilerStep#N",
        7,
    )


def test_a_host_that_never_waits_is_not_called_synchronous(tmp_path):
    events = [e for i in range(8) for e in (
        call(i * 100_000, i * 100_000 + 300, i + 1, "cudaGraphLaunch"),
        operation(i * 100_000 + 500, i * 100_000 + 30_000, correlation=i + 1),
    )]  # fmt: skip
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    assert (device.batching.kind, device.verdict.kind) == ("not told", "host-bound")


@pytest.mark.parametrize("spans", [True, False])
def test_waiting_for_each_step_is_synchronous(tmp_path, spans):
    device = loop(tmp_path, 8, 50_000, 10_000, ahead=0, spans=spans)
    assert device.batching.kind == "synchronous"
    assert device.steps.found == ("ProfilerStep#" if spans else "graph launches")
    assert len(device.steps) == 8


def test_two_steps_are_too_few_to_tell(tmp_path):
    assert loop(tmp_path, 2, 50_000, 10_000, ahead=0).batching.kind == "not told"


class TestStepsWithoutSpans:
    def test_graph_launches_with_no_waits_are_a_step_each(self, tmp_path):
        device = loop(tmp_path, 8, 50_000, 10_000, ahead=40_000, spans=False)
        assert (device.steps.found, len(device.steps)) == ("graph launches", 8)
        assert device.steps.operations.tolist() == [1] * 8

    def test_the_rhythm_of_waits_makes_steps_of_eager_work(self, tmp_path):
        events = []
        for i in range(5):
            at = i * 100_000
            for k in range(3):
                events.append(call(at + k * 1000, at + k * 1000 + 500, 10 * i + k + 1))
                events.append(
                    operation(
                        at + 5000 + k * 2000,
                        at + 6500 + k * 2000,
                        correlation=10 * i + k + 1,
                    )
                )
            events.append(call(at + 3500, at + 12_000, 0, "cudaStreamSynchronize"))
        (device,) = idlescope.analyze(
            open_trace(write(tmp_path / "t.json", events))
        ).results
        assert (device.steps.found, len(device.steps)) == ("waiting calls", 5)
        assert device.steps.operations.tolist() == [3] * 5
        assert device.batching.kind == "synchronous"

    def test_no_rhythm_no_steps(self, tmp_path):
        events = [call(0, 10, 1), operation(20, 30, correlation=1)]
        (device,) = idlescope.analyze(
            open_trace(write(tmp_path / "t.json", events))
        ).results
        assert (device.steps.found, len(device.steps)) == ("none", 0)


SERVERS = [
    ("vllm_8b_sync.json.gz", "synchronous", False),
    ("vllm_8b_async.json.gz", "asynchronous", False),
    ("vllm_1b_async.json.gz", "asynchronous", True),
    ("sglang_8b_sync.json.gz", "synchronous", False),
    ("sglang_8b_sync_stacks.json.gz", "synchronous", False),
    ("vllm_1b_sync.json.gz", "synchronous", False),
    ("sglang_1b_sync.json.gz", "synchronous", False),
    ("vllm_8b_tp2_sync/rank0.json.gz", "synchronous", False),
]


@pytest.mark.parametrize(("name", "kind", "host_is_slower"), SERVERS)
def test_servers_are_told_by_what_their_waits_were_for(name, kind, host_is_slower):
    """A host slower than its GPU does not turn asynchronous batching into synchronous."""
    (device,) = idlescope.analyze(open_trace(FIXTURES / name)).results
    assert (device.batching.kind, device.batching.host_is_slower) == (kind, host_is_slower)


def test_the_copy_in_which_sglang_waits_is_named():
    (device,) = idlescope.analyze(open_trace(FIXTURES / "sglang_8b_sync.json.gz")).results
    assert device.batching.token_wait.call == "cudaMemcpyAsync"
    assert device.batching.token_wait.inside == "aten::copy_"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("transformers_sync", "synchronous"),
        ("transformers_async", "asynchronous"),
        ("vllm_8b_sync", "synchronous"),
        ("vllm_8b_async", "asynchronous"),
        ("sglang_8b_sync", "synchronous"),
    ],
)
def test_batching_of_real_engines_is_told_without_any_of_their_spans(name, kind):
    """Steps are cut at the wait for the tokens of the last, not at small ones that prepare the next."""
    trace = idlescope.open(FIXTURES / f"{name}.json.gz")
    bare = replace(trace, ranges=trace.ranges.take(slice(0)))
    (result,) = idlescope.analyze(bare).results
    assert (result.steps.found, result.batching.kind) == ("graph launches", kind)


@pytest.mark.parametrize(
    ("name", "kind", "early"),
    [
        ("vllm_8b_tp2_sync/rank1", "not told", 0),  # it makes no synchronising call
        ("vllm_8b_tp2_slow/rank1", "not told", 0),
        ("vllm_8b_async", "asynchronous", 9),
    ],
)
def test_what_follows_a_graph_does_not_make_the_next_one_early(name, kind, early):
    """Without spans and waits, sampling is in the step of the graph behind it."""
    trace = open_trace(FIXTURES / f"{name}.json.gz")
    (view,) = (result.view for result in idlescope.analyze(trace).results)
    bare = replace(trace, ranges=Ranges.empty(), calls=trace.calls.take(~view.waits))
    (device,) = idlescope.analyze(bare).results
    assert device.steps.found == "graph launches"
    assert (device.batching.kind, device.batching.early) == (kind, early)


@pytest.mark.parametrize(("name", "kind", "host_is_slower"), SERVERS)
def test_waits_of_a_slow_thread_and_copies_that_were_not_recorded_change_nothing(
    name, kind, host_is_slower
):
    """What a watch by events has of them, on a machine where each wait takes 50 us (1B, an H200)."""
    trace = open_trace(FIXTURES / name)
    (view,) = (result.view for result in idlescope.analyze(trace).results)
    start = trace.calls.start - np.where(view.waits, 50_000, 0)
    calls = trace.calls.replace(start=start).take(np.argsort(start, kind="stable"))
    slow = replace(trace, operations=_as_events(trace.operations), calls=calls)
    (device,) = idlescope.analyze(slow).results
    assert (device.batching.kind, device.batching.host_is_slower) == (kind, host_is_slower)


def _as_events(operations):
    """Return what launch calls computed, one operation of each, as timed events have it."""
    seen = operations.take(is_compute(operations) & (operations.correlation > 0))
    launch, call = by_value(seen.correlation)
    first = np.searchsorted(np.sort(seen.correlation), launch)
    one_each = seen.take(np.argsort(seen.correlation, kind="stable")[first])
    one_each = one_each.replace(start=call.first(seen.start), end=call.last(seen.end))
    return one_each.take(np.argsort(one_each.start, kind="stable"))
