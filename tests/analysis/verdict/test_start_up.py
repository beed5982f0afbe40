"""A process that starts up in the recording is judged by what follows, whatever it did before."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import idlescope
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation
from tests.make.serving_loops import MS, OWN, SGLANG, US, VLLM_V1, Plan, recorded
from tests.make.views import measured

CAPTURES = 12
LOOPS = {
    "synchronous": Plan(),
    "asynchronous": Plan(depth=2),
    "vllm": Plan(spans=VLLM_V1, around="execute_context_0(0)_generation_32(32)"),
    "vllm, asynchronous": Plan(
        depth=2, spans=VLLM_V1, around="execute_context_0(0)_generation_32(32)"
    ),
    "sglang": Plan(spans=SGLANG, around="step[DECODE bs=32]"),
    "of no engine that is known": Plan(spans=OWN),
}


def start_up(captures=CAPTURES, loading_ns=400 * MS):
    """Events of weights that are loaded, a model that is tried, and graphs that are captured and tried.

    They end at 0, where `recorded` begins; correlation ids do not meet those of its calls.
    """
    events, now, ids = (
        [],
        -loading_ns - captures * 20 * MS - 40 * MS,
        iter(range(10_000, 99_999)),
    )

    def launch(name, call_ns, kernels=1):
        nonlocal now
        number = next(ids)
        events.append(call(now, now + call_ns, number, name))
        for kernel in range(kernels):
            start = now + call_ns + 5 * US + kernel * 101 * US
            events.append(operation(start, start + 100 * US, correlation=number))
        now += call_ns + 5 * US + kernels * 101 * US

    for _ in range(loading_ns // (50 * MS)):
        number = next(ids)
        events.append(call(now, now + 5 * MS, number, "cudaMemcpyAsync"))
        name = "Memcpy HtoD (Pageable -> Device)"
        events.append(operation(now + MS, now + 4 * MS, "memcpy", number, name=name))
        now += 50 * MS
    for _ in range(60):
        launch("cudaLaunchKernel", 20 * US)
    for _ in range(captures):
        for name in (
            "cudaStreamBeginCapture",
            "cudaStreamEndCapture",
            "cudaGraphInstantiate",
        ):
            events.append(call(now, now + 2 * MS, next(ids), name))
            now += 2 * MS
        launch("cudaGraphLaunch", 20 * US, kernels=30)
        events.append(call(now, now + 10 * US, 0, "cudaDeviceSynchronize"))
        now += 100 * US
    assert now < 0
    return events


@pytest.mark.parametrize("loop", LOOPS)
def test_the_verdict_is_that_of_serving_alone(tmp_path, loop):
    serving = measured(tmp_path, recorded(LOOPS[loop]))
    device = measured(tmp_path, start_up() + recorded(LOOPS[loop]))
    left_out, verdict = device.verdict.text.split("): ", 1)
    assert "in which it started up and captured CUDA graphs (--window time:" in left_out
    assert device.verdict.kind == serving.verdict.kind
    # Without spans the first step cannot be told from what the start tried out last.
    counts = re.compile(r"\d+ of \d+ steps")
    assert counts.sub("", verdict) == counts.sub("", serving.verdict.text)
    assert device.batching.kind == serving.batching.kind
    assert device.prediction.predicted.step_ns == pytest.approx(
        serving.prediction.predicted.step_ns, rel=1e-3
    )


def test_the_window_that_it_names_leaves_the_start_out(tmp_path):
    events = start_up() + recorded(LOOPS["vllm"])
    device = measured(tmp_path, events)
    named = re.search(r"--window (\S+)\)", device.verdict.text)[1]
    alone = measured(tmp_path, events, window=named)
    assert device.verdict.text.endswith(alone.verdict.text)
    assert alone.occupancy.idle_ns == device.of_rest.device.occupancy.idle_ns


def test_an_engine_that_captures_all_along_does_so_for_its_steps(tmp_path):
    plan = replace(Plan(), steps=20)
    events = recorded(plan)
    launches = [event for event in events if event["name"] == "cudaGraphLaunch"]
    for number, launch in enumerate(launches):
        begun = round(launch["ts"] * 1000) - 100 * US
        for part, name in enumerate(("cudaStreamBeginCapture", "cudaStreamEndCapture")):
            at_ns = begun + 40 * US * part
            events.append(call(at_ns, at_ns + 30 * US, 50_000 + 2 * number + part, name))
    assert measured(tmp_path, events).of_rest is None


def test_a_start_that_holds_little_of_idle_is_not_left_out(tmp_path):
    events = start_up(captures=1, loading_ns=0)
    device = measured(tmp_path, events + recorded(Plan(steps=200, schedule_ns=4 * MS)))
    assert device.of_rest is None
    assert device.verdict.kind == "synchronous"


def test_a_capture_alone_is_no_start_of_anything(shared_traces):
    trace = idlescope.open(shared_traces / "vllm_graph_capture_mi300.json.gz")
    (device,) = idlescope.analyze(trace).results
    assert device.of_rest is None
    assert "This is the capture of a CUDA graph" in device.verdict.text


def test_fixtures_of_servers_have_no_start():
    for name in ("vllm_8b_sync", "vllm_8b_async", "sglang_8b_sync", "transformers_sync"):
        (device,) = idlescope.analyze(idlescope.open(FIXTURES / f"{name}.json.gz")).results
        assert device.of_rest is None
