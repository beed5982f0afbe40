"""A verdict says in two sentences what it is, and what to do with what that would give."""

import re

import pytest

import idlescope
from tests.conftest import FIXTURES
from tests.make.engine_loops import (
    MS,
    US,
    Loop,
    sglang_idle_rank,
    sglang_overlapped,
    vllm_bursts,
    vllm_dummies,
    vllm_starved,
)
from tests.make.kineto_files import call, operation, span, write

HOST_LIMITED = "asynchronous, but the host is the slower side"


def analysed(tmp_path, events):
    (device,) = idlescope.analyze(
        idlescope.open(write(tmp_path / "t.json", events))
    ).results
    return device


def of_fixture(name):
    (device,) = idlescope.analyze(idlescope.open(FIXTURES / f"{name}.json.gz")).results
    return device


def sentences(device):
    return device.verdict.text.split(". ")


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("vllm_8b_sync", "synchronous", "each step's tokens in cudaEventSynchronize"),
        ("vllm_8b_sync", "synchronous", "batching (vLLM: --async-scheduling) would make it"),
        ("sglang_8b_sync", "synchronous", "tokens in cudaMemcpyAsync in aten::copy_"),
        ("sglang_8b_sync", "synchronous", "(SGLang: without --disable-overlap-schedule)"),
        ("vllm_1b_async", HOST_LIMITED, "the device 1.69 ms"),
        ("vllm_1b_async", HOST_LIMITED, "a host that costs nothing"),
        ("vllm_8b_async", "asynchronous", "9 of 9 steps launched early"),
        ("loop_eager", "launch-bound", "A CUDA graph would help: up to"),
        ("loop_item", "serialised", "Without that wait (no .item() in the loop)"),
        ("loop_pageable", "serialised", "Without that wait (pinned memory for the copy)"),
        ("loop_copies", "copy-bound", "Copy less, or beside the computing"),
        ("loop_async", "busy", "what is left is the device's own work"),
    ],
)  # fmt: skip
def test_recorded_loops_have_a_verdict_with_a_remedy(name, kind, says):
    device = of_fixture(name)
    assert str(device.verdict.kind) == kind
    assert says in device.verdict.text
    assert len(sentences(device)) == 2


def test_a_silence_of_seconds_is_no_collection_but_something_that_was_not_recorded(
    tmp_path,
):
    loop = Loop()
    for step in range(30):
        loop.pause(30_000 * MS if step == 15 else 0)
        loop.wait(loop.launch())
    text = analysed(tmp_path, loop.events).verdict.text
    assert "in one pause of 30 s in 30 steps" in text
    assert "the profiler was off meanwhile" in text
    assert "--window" in text
    assert "collection" not in text


def test_pauses_are_counted_and_named_and_cost_no_step(tmp_path):
    device = analysed(tmp_path, sglang_overlapped(60, {20: 400 * MS, 40: 400 * MS}))
    assert (
        "in 2 pauses of 396 ms in 60 steps; between them it is busy" in device.verdict.text
    )
    assert "likely garbage collection or descheduling" in device.verdict.text
    assert "ms per step" not in device.verdict.text
    said = device.prediction.text()
    assert re.match(
        r"Asynchronous already: 0\.0\d\d ms per step is still exposed between", said
    )


def test_a_lack_of_requests_is_no_demand(tmp_path):
    device = analysed(tmp_path, vllm_bursts(5, 10, 200 * MS))
    assert str(device.verdict.kind) == "no demand"
    assert "in 4 gaps of 200 ms in which the host did nothing" in device.verdict.text
    assert "host works longer" not in device.verdict.text
    assert device.prediction is None


def test_a_starved_scheduler_is_no_demand(tmp_path):
    device = analysed(tmp_path, vllm_starved(rounds=4, worked=5, empty=30))
    assert str(device.verdict.kind) == "no demand"
    assert "120 of 140 iterations of the engine scheduled no token" in device.verdict.text


def test_a_rank_that_runs_dummy_batches_does_little_useful_work(tmp_path):
    device = analysed(tmp_path, vllm_dummies(worked=5, dummies=25))
    assert str(device.verdict.kind) == "no demand"
    assert "25 of 30 forward passes are dummy batches" in device.verdict.text
    assert "useful work for 17 %" in device.verdict.text


def test_a_rank_that_runs_idle_batches_does_no_useful_work(tmp_path):
    device = analysed(tmp_path, sglang_idle_rank(10))
    assert str(device.verdict.kind) == "no demand"
    assert "does no useful work" in device.verdict.text


def test_a_wait_inside_the_step_that_explains_the_idle_time_is_the_verdict(tmp_path):
    """Kernels launched one by one, and once per step a wait for a part of it, in a span."""
    events, now, correlation = [], 0, 0
    for _ in range(12):
        begin = now
        for part in range(2):
            end = now
            for _ in range(6):
                correlation += 1
                start = max(end, now + 10 * US)
                end = start + 500 * US
                events.append(call(now, now + 5 * US, correlation))
                events.append(operation(start, end, correlation=correlation))
                now += 6 * US
            if not part:
                events.append(call(now, end + 5 * US, 0, "cudaStreamSynchronize"))
                events.append(span(now - US, end + 2 * MS, "grammar: accept+fill"))
                now = end + 2 * MS
        events.append(call(now, end + 5 * US, 0, "cudaStreamSynchronize"))
        now = end + 50 * US
        events.append(span(begin, now, "scheduler.run_batch"))
        events.append(span(begin, begin + US, "scheduler.get_next_batch_to_run"))
    device = analysed(tmp_path, events)
    assert str(device.verdict.kind) == "serialised"
    assert (
        "serialised by cudaStreamSynchronize in grammar: accept+fill" in device.verdict.text
    )
    assert "up to 2.00 ms per step" in device.verdict.text


def test_compute_idle_that_copies_hide_is_said(tmp_path):
    loop, correlation = Loop(), 1_000
    for _ in range(20):
        loop.wait(loop.launch("step[DECODE bs=32]"))
        correlation += 1
        start, end = loop.free - 100 * US, loop.free + 480 * US
        loop.events.append(
            call(loop.now - 200 * US, loop.now - 195 * US, correlation, "cudaMemcpyAsync")
        )
        name = "Memcpy DtoH (Device -> Pinned)"
        loop.events.append(
            operation(start, end, "memcpy", correlation, stream=21, name=name)
        )
    device = analysed(tmp_path, loop.events)
    assert "compute idle" in device.verdict.text
    assert "copies hide it" in device.verdict.text


def test_idle_per_step_is_one_figure_everywhere():
    device = of_fixture("vllm_1b_async")
    per_step_ms = device.occupancy.idle_ns / len(device.steps) / 1e6
    assert f"{per_step_ms:.2f} ms per step" in device.verdict.text
    assert device.prediction.exposed_ns == pytest.approx(per_step_ms * 1e6)
    assert device.to_json()["predicted"]["exposed_ms_per_step"] == pytest.approx(
        per_step_ms
    )


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (0, "; no steps were found, so batching is not told. "),
        (1, "; one step is too few to tell the batching. "),
        (2, "; 2 steps are too few to tell the batching. "),
    ],
)
def test_what_is_missing_to_tell_the_batching_is_said(tmp_path, steps, says):
    events = []
    for number in range(max(steps, 1)):
        begun = number * 10 * MS
        if steps:
            events.append(span(begun, begun + 9 * MS, f"ProfilerStep#{number}"))
        for kernel in range(3):
            issued, correlation = begun + MS + kernel * 2 * MS, 3 * number + kernel + 1
            events.append(call(issued, issued + 5 * US, correlation))
            events.append(operation(issued + 8 * US, issued + MS, correlation=correlation))
    assert says in analysed(tmp_path, events).verdict.text
