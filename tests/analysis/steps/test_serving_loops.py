"""Loops of every sort are told by what they do: whose spans they have, how they launch, how they wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.make.kineto_files import call
from tests.make.serving_loops import (
    HIP,
    LMDEPLOY,
    NO_SPANS,
    OWN,
    SGLANG,
    TRANSFORMERS,
    TRTLLM,
    US,
    VLLM_V1,
    Plan,
    recorded,
)
from tests.make.views import measured

VLLM_STEP = "execute_context_0(0)_generation_32(32)"
ENGINES = {
    "none": Plan(),
    "of no engine that is known": Plan(spans=OWN),
    "vllm": Plan(spans=VLLM_V1, around=VLLM_STEP),
    "vllm, second runner": Plan(spans=NO_SPANS, around=VLLM_STEP),
    "sglang": Plan(spans=SGLANG, around="step[DECODE bs=32]"),
    "sglang, no spans of the scheduler": Plan(around="step[DECODE bs=32]"),
    "trtllm": Plan(spans=TRTLLM),
    "lmdeploy": Plan(spans=LMDEPLOY),
    "transformers": Plan(spans=TRANSFORMERS),
}
EAGER = {"graphs": 0, "kernels": 60, "kernel_ns": 100 * US}
PIECEWISE = {"graphs": 4, "kernels": 40, "kernel_ns": 150 * US}
SYNCHRONOUS = {
    "graph": {},
    "several graphs": PIECEWISE,
    "eager": EAGER,
    "a wait for its stream": {"wait": "cudaStreamSynchronize"},
    "a blocking copy": {"wait": "copy"},
    "cudaMemcpy": {"wait": "cudaMemcpy"},
    "polling": {"wait": "query"},
    "HIP": {"names": HIP, "wait": "hipEventSynchronize"},
    "inputs from unpinned memory": {"small_copy": True},
    "the same, several graphs": {"small_copy": True, **PIECEWISE},
    "two threads": {"launching_tid": 200},
}
# The step that the same loop takes asynchronously: its kernels, and a microsecond between two.
ASYNCHRONOUS_NS = 6_014 * US


COMMON = ("none", "vllm, second runner", "sglang", "transformers")
SYNCHRONOUS_LOOPS = [(engine, how) for engine in COMMON for how in SYNCHRONOUS]
SYNCHRONOUS_LOOPS += [(engine, "graph") for engine in ENGINES if engine not in COMMON]


@pytest.mark.parametrize(("engine", "how"), SYNCHRONOUS_LOOPS)
def test_a_loop_that_waits_for_each_step_is_synchronous(tmp_path, engine, how):
    device = measured(tmp_path, recorded(replace(ENGINES[engine], **SYNCHRONOUS[how])))
    assert device.batching.kind == "synchronous", device.verdict.text
    assert len(device.steps) == 20
    assert not device.doubts.bounds.apart
    assert device.prediction is not None
    predicted_ns = device.prediction.predicted.step_ns
    assert predicted_ns == pytest.approx(ASYNCHRONOUS_NS, rel=0.03)


@pytest.mark.parametrize(
    "how",
    [
        {},
        PIECEWISE,
        EAGER,
        {"depth": 3},
        {"launching_tid": 200},
        {"wait": "", "outputs_tid": 300},
        {"schedule_ns": 2_000 * US, "kernel_ns": 150 * US},
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", COMMON)
def test_a_loop_that_waits_for_the_step_before_is_asynchronous(tmp_path, engine, how):
    device = measured(tmp_path, recorded(replace(ENGINES[engine], **{"depth": 2, **how})))
    assert device.batching.kind == "asynchronous", device.verdict.text
    assert len(device.steps) == 20


def test_a_poll_is_one_wait_by_the_name_of_its_queries(tmp_path):
    device = measured(tmp_path, recorded(Plan(wait="query")))
    assert device.batching.token_wait.call == "cudaEventQuery"
    assert device.batching.token_wait.count == 20


def test_a_few_queries_at_once_are_no_wait(tmp_path):
    """Allocators ask which events are over before they use memory anew."""
    events = recorded(Plan())
    launches = [event for event in events if event["name"] == "cudaGraphLaunch"]
    for event in launches:
        begin = round(event["ts"] * 1000) - 20 * US
        events += [
            call(
                begin + 2 * US * number,
                begin + 2 * US * number + 1 * US,
                0,
                "cudaEventQuery",
            )
            for number in range(5)
        ]
    plain, device = measured(tmp_path, recorded(Plan())), measured(tmp_path, events)
    assert device.waits.sum() == plain.waits.sum()


def test_a_watchdog_that_asks_all_the_time_waits_for_nothing(tmp_path):
    """NCCL's looks at its events from a thread that launches nothing."""
    events = recorded(Plan())
    end = round(max(event["ts"] for event in events) * 1000)
    asks = [
        call(begin, begin + 3 * US, 0, "cudaEventQuery", tid=999)
        for begin in range(0, end, 200 * US)
    ]
    device = measured(tmp_path, events + asks)
    assert device.verdict.kind == "synchronous"
    assert device.waits.sum() == 20


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("end", ["first", "last", "both"])
def test_a_step_whose_span_an_end_of_the_recording_cut_off_is_no_dummy_batch(
    tmp_path, end, depth
):
    """A profiler records no span that it has seen no beginning or no end of."""
    events = recorded(Plan(spans=NO_SPANS, around=VLLM_STEP, depth=depth, steps=12))
    spans = [event for event in events if event["name"] == VLLM_STEP]
    cut = {"first": spans[:1], "last": spans[-1:], "both": [spans[0], spans[-1]]}[end]
    device = measured(tmp_path, [event for event in events if event not in cut])
    assert (len(device.steps), len(device.empty)) == (12, 0)
    # Two forward passes without spans before the first are not both cut off: they had none.
    events = [event for event in events if event not in spans[:3]]
    device = measured(tmp_path, events)
    assert (len(device.steps), len(device.empty)) == (9, 3)


@pytest.mark.parametrize(
    "engine", ["vllm", "vllm, second runner", "sglang, no spans of the scheduler"]
)
@pytest.mark.parametrize("asked_ns", [30 * US, 90 * US])
def test_an_allocator_that_asks_now_and_then_tells_no_batching(tmp_path, engine, asked_ns):
    """A rank that makes no call that waits: another one has the tokens."""
    plan = replace(ENGINES[engine], kernels=20, steps=30)
    waits = "cudaEventSynchronize"
    events = [event for event in recorded(plan) if event["name"] != waits]
    alone = measured(tmp_path, events)
    launches = [event for event in events if event["name"] == "cudaGraphLaunch"]
    for launch in (launches[7], launches[21]):
        begun = round((launch["ts"] + launch["dur"]) * 1000) + 40 * US
        for ask in range(3):
            at_ns = begun + ask * asked_ns // 3
            events.append(call(at_ns, at_ns + asked_ns // 3 - US, 0, "cudaEventQuery"))
    device = measured(tmp_path, events)
    assert (device.batching.kind, device.verdict.kind) == (
        alone.batching.kind,
        alone.verdict.kind,
    )


LATE_WAITS = [(0.0, 0.3), (0.0, 0.5), (0.0, 0.75), (0.5, 1.0), (0.3, 0.7)]


def between(events, share):
    """What begins in a part of a recording, of all that it holds."""
    times = [event["ts"] for event in events]
    first, last = min(times), max(times)
    low, high = (first + part * (last - first) for part in share)
    return [event for event in events if low <= event["ts"] <= high]


@pytest.mark.parametrize("share", LATE_WAITS)
@pytest.mark.parametrize("how", [{}, EAGER, PIECEWISE], ids=["graph", "eager", "graphs"])
@pytest.mark.parametrize("depth", [1, 2])
def test_steps_are_as_many_where_only_a_part_has_waits(tmp_path, depth, how, share):
    """Where they were lost, or recorded from some step on: idle per step is as with all of them."""
    events = recorded(replace(Plan(steps=40, depth=depth), **how))
    lost = [
        event for event in between(events, share) if event["name"] == "cudaEventSynchronize"
    ]
    whole = measured(tmp_path, events)
    part = measured(tmp_path, [event for event in events if event not in lost])
    assert lost
    assert len(part.steps) == pytest.approx(40, abs=1)
    assert part.batching.kind == whole.batching.kind
    assert part.verdict.kind == whole.verdict.kind
    if part.prediction is not None:
        usual_ns = whole.prediction.predicted.step_ns
        assert part.prediction.predicted.step_ns == pytest.approx(usual_ns, rel=0.03)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("pieces", [3, 8, 33])
def test_a_prefill_of_many_pieces_beside_decode_of_one_graph_is_one_step(
    tmp_path, depth, pieces
):
    """As of vLLM with FULL_AND_PIECEWISE graphs."""
    events = recorded(Plan(steps=40, depth=depth))
    decodes = [event for event in events if event["name"] == "cudaGraphLaunch"]
    for decode in decodes[3::10]:
        begun, correlation = round(1000 * decode["ts"]), 10_000 + round(decode["ts"])
        kernels = [
            event
            for event in events
            if event["cat"] == "kernel"
            and event["args"]["correlation"] == decode["args"]["correlation"]
        ]
        for piece in range(1, pieces):  # launched just before
            at_ns = begun - 10 * US * piece
            events.append(
                call(at_ns, at_ns + 6 * US, correlation + piece, "cudaGraphLaunch")
            )
            kernels[piece % 10]["args"]["correlation"] = correlation + piece
    device = measured(tmp_path, events)
    assert len(device.steps) == 40
    assert device.batching.kind == ("synchronous", "asynchronous")[depth - 1]


def test_a_wait_for_a_step_before_the_recording_shows_no_clock_to_be_wrong(tmp_path):
    events = recorded(Plan(steps=40, depth=2))
    lost = [event for event in between(events, (0, 0.5)) if event["cat"] == "cuda_runtime"]
    device = measured(tmp_path, [event for event in events if event not in lost])
    assert "which ran what was launched before the recording began" in device.verdict.text
    assert "clocks" not in device.verdict.text


@pytest.mark.parametrize("engine", ["none", "sglang"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_copy_that_blocks_hides_no_wait_within_the_steps(tmp_path, engine, depth):
    plan = replace(ENGINES[engine], **PIECEWISE, value_after=2, small_copy=True)
    device = measured(tmp_path, recorded(replace(plan, depth=depth)))
    overlapped = measured(tmp_path, recorded(replace(plan, depth=2)))
    step_ns = overlapped.prediction.recorded.step_ns
    assert device.prediction.predicted.step_ns == pytest.approx(step_ns, rel=0.02)


def test_prefills_without_a_wait_within_them_leave_the_places_as_they_are(tmp_path):
    plan = Plan(steps=40, value_after=1, prefill_every=7, graphs=2)
    device = measured(tmp_path, recorded(plan))
    assert (len(device.steps), device.batching.kind) == (40, "synchronous")


@pytest.mark.parametrize("graphs", [1, 2, 20, 60])
@pytest.mark.parametrize("pauses", [{}, {15: 900_000 * US}], ids=["", "a pause"])
def test_graphs_in_bursts_are_steps_where_nothing_waits(tmp_path, graphs, pauses):
    """As torch.compile makes them, one for each layer; another thread has the tokens."""
    kernels = max(10, graphs)
    plan = Plan(depth=2, wait="", graphs=graphs, kernels=kernels, pauses=pauses)
    device = measured(tmp_path, recorded(replace(plan, kernel_ns=6_000 * US // kernels)))
    assert (len(device.steps), device.batching.kind) == (20, "asynchronous")
    step_ns = device.prediction.predicted.step_ns
    assert step_ns == pytest.approx((6_000 + kernels) * US, rel=0.01)


VALUE = [{**EAGER, "value_after": 30}, {**PIECEWISE, "value_after": 2}]


@pytest.mark.parametrize("how", VALUE, ids=["eager", "several graphs"])
@pytest.mark.parametrize("engine", COMMON)
def test_a_value_read_within_each_step_serialises_an_asynchronous_loop(
    tmp_path, engine, how
):
    """It holds nearly all idle time, though the steps were launched early."""
    device = measured(tmp_path, recorded(replace(ENGINES[engine], depth=2, **how)))
    assert (len(device.steps), device.batching.kind) == (20, "serialised")
    culprit = device.batching.culprit
    assert (culprit.call, culprit.count) == ("cudaStreamSynchronize", 20)
    assert culprit.waited_ns == pytest.approx(20 * 300 * US, rel=0.1)


@pytest.mark.parametrize("wait", ["cudaEventSynchronize", "copy"])
@pytest.mark.parametrize("value_ns", [300 * US, 1_000 * US])
@pytest.mark.parametrize("how", VALUE, ids=["eager", "several graphs"])
@pytest.mark.parametrize("engine", COMMON)
def test_what_waits_within_a_step_still_does_where_batching_is_asynchronous(
    tmp_path, engine, how, value_ns, wait
):
    plan = replace(ENGINES[engine], **how, value_ns=value_ns)
    device = measured(tmp_path, recorded(replace(plan, wait=wait)))
    overlapped = measured(tmp_path, recorded(replace(plan, depth=2)))
    assert (len(device.steps), device.batching.kind) == (20, "synchronous")
    assert "and inside of it in cudaStreamSynchronize" in device.verdict.text
    step_ns = overlapped.prediction.recorded.step_ns
    for predicted in (device.prediction.predicted, overlapped.prediction.predicted):
        assert predicted.step_ns == pytest.approx(step_ns, rel=0.01)


@pytest.mark.parametrize("value_after", [3, 8])
@pytest.mark.parametrize("depth", [1, 2])
def test_two_waits_of_a_step_may_have_one_name(tmp_path, depth, value_after):
    """Without spans they were two steps: how much is launched before each tells them apart."""
    plan = Plan(steps=40, graphs=0, depth=depth, value_after=value_after)
    device = measured(tmp_path, recorded(replace(plan, wait="cudaStreamSynchronize")))
    expected = measured(tmp_path, recorded(replace(plan, wait="cudaEventSynchronize")))
    assert (len(device.steps), device.batching.kind) == (40, expected.batching.kind)
    assert device.batching.kind == ("synchronous", "serialised")[depth - 1]
    assert device.batching.culprit.count == 40
    assert device.verdict.text.replace("Stream", "Event") == expected.verdict.text.replace(
        "Stream", "Event"
    )


@pytest.mark.parametrize("graphs", [1, 0])
@pytest.mark.parametrize("every", [2, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_prefills_by_turns_with_decodes_are_steps_of_their_own(
    tmp_path, depth, every, graphs
):
    plan = Plan(steps=60, graphs=graphs, depth=depth, prefill_every=every)
    device = measured(tmp_path, recorded(replace(plan, wait="cudaStreamSynchronize")))
    assert len(device.steps) == pytest.approx(60, abs=1)
    assert device.batching.kind == ("synchronous", "asynchronous")[depth - 1]


@pytest.mark.parametrize("pause_ms", [17, 90, 900])
@pytest.mark.parametrize("how", VALUE, ids=["eager", "several graphs"])
@pytest.mark.parametrize("engine", COMMON)
def test_a_pause_hides_no_value_that_is_read_within_each_step(
    tmp_path, engine, how, pause_ms
):
    """One of 17 ms held most idle time of 20 steps, and made the loop asynchronous."""
    plan = replace(ENGINES[engine], depth=2, **how, pauses={10: pause_ms * 1_000 * US})
    device = measured(tmp_path, recorded(plan))
    assert device.batching.kind == "serialised"
    assert device.batching.culprit.call == "cudaStreamSynchronize"
    assert device.batching.culprit.waited_ns == pytest.approx(20 * 300 * US, rel=0.1)
