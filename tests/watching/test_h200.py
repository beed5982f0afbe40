"""What watches by CUPTI recorded of real servers says what they did: vLLM and SGLang on H200s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

import idlescope
from idlescope.analysis.launches import link
from idlescope.trace.open import open_trace
from tests.conftest import FIXTURES

# Milliseconds per step of the same servers in the same minutes, as their clients saw them: bare, by
# turns (SGLang's by the server itself, of turns in which its watch was off), and asynchronous.
BARE_STEP_MS = {"vllm": (7.78, 8.54), "sglang": (7.84, 9.55)}
ASYNCHRONOUS_STEP_MS = {"vllm": 5.91, "sglang": 6.07}
SWITCHES = {
    "vllm": "(vLLM: --async-scheduling)",
    "sglang": "(SGLang: without --disable-overlap-schedule)",
}


@pytest.fixture(scope="module", params=SWITCHES)
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def device(engine):
    return idlescope.analyze(open_trace(FIXTURES / f"{engine}_8b_watched")).results[0]


def test_every_operation_has_its_call_and_every_launch_its_operation(device):
    assert device.coverage.linked_pct == 100
    assert device.coverage.launches_lost == 0
    assert device.gaps.totals()["unattributed"] == 0


def test_steps_batching_and_idle_are_those_of_the_server(device, engine):
    assert len(device.steps) == 40
    assert device.batching.kind == device.verdict.kind == "synchronous"
    low_ms, high_ms = BARE_STEP_MS[engine]
    step_ns = device.occupancy.window_ns / len(device.steps)
    assert low_ms * 1e6 < step_ns < high_ms * 1.03e6  # a watch by CUPTI may cost 3 %
    busy_ms = device.occupancy.active_ns / len(device.steps) / 1e6
    without_pct = [100 * (1 - busy_ms / bare_ms) for bare_ms in BARE_STEP_MS[engine]]
    assert without_pct[0] - 1.5 < device.idle_pct < without_pct[1] + 1.5


def test_the_asynchronous_step_is_predicted_and_how_the_engine_is_told_to(device, engine):
    predicted = device.prediction.predicted
    assert predicted.step_ns / 1e6 == pytest.approx(ASYNCHRONOUS_STEP_MS[engine], rel=0.05)
    assert SWITCHES[engine] in device.verdict.text


@pytest.fixture(scope="module")
def slow_host():
    """Return a recording of vLLM 1B, asynchronous, whose host needs 4.4 ms, the device 1.6."""
    return open_trace(FIXTURES / "vllm_1b_watched")


def test_a_wait_that_returns_at_once_near_a_steps_end_is_not_for_that_step(slow_host):
    device = idlescope.analyze(slow_host).results[0]
    assert device.coverage.linked_pct == 100
    assert device.batching.kind == "asynchronous"
    assert device.batching.host_is_slower
    assert "the host is the slower side" in device.verdict.text


@pytest.mark.parametrize("overlaps", [True, False])
def test_where_no_wait_tells_the_engines_own_setting_does(slow_host, overlaps):
    # A device so fast that each wait finds that everything has ended.
    work = slow_host.operations
    issued = slow_host.calls.end[link(slow_host, work)]
    operations = replace(work, start=issued + 1_000, end=issued + 5_000)
    extra = slow_host.meta.extra | {"overlaps": overlaps}
    said = structs.replace(slow_host.meta, extra=extra)
    trace = replace(slow_host, operations=operations, meta=said)
    kind = idlescope.analyze(trace).results[0].batching.kind
    assert (kind == "asynchronous") is overlaps


def test_what_is_launched_after_the_tokens_are_there_is_of_the_next_step():
    # SGLang schedules the next batch, and launches kernels for that, before its hook says so.
    device = idlescope.analyze(open_trace(FIXTURES / "sglang_8b_watched")).results[0]
    assert device.batching.culprit is None
    assert not device.steps.early.any()


def test_preparation_before_a_graph_is_no_eager_execution():
    # 14 kernels one by one, 1.9 ms of idle between them, and the model in one graph.
    device = idlescope.analyze(open_trace(FIXTURES / "sglang_8b_watched")).results[0]
    assert "CUDA graph would help" not in device.verdict.text


@pytest.fixture(scope="module")
def quiet():
    """Return a recording of vLLM 1B, synchronous: 30 steps, 38 s without requests, 53 steps."""
    return open_trace(FIXTURES / "vllm_1b_quiet")


def test_a_server_that_mostly_has_no_request_is_told_what_its_steps_cost(quiet):
    device = idlescope.analyze(quiet).results[0]
    assert device.verdict.kind == "no demand"
    assert device.batching.kind == "synchronous"
    assert "Asynchronous batching (vLLM: --async-scheduling) would make it" in (
        device.verdict.text
    )


def test_a_time_without_requests_has_no_part_in_what_is_foretold(quiet):
    parts = [
        idlescope.analyze(quiet, window=f"steps:{window}").results[0]
        for window in ("0-29", "30-82")
    ]
    whole = idlescope.analyze(quiet).results[0]
    for case in ("recorded", "predicted"):
        steps_ns = [
            getattr(part.prediction, case).step_ns * len(part.steps) for part in parts
        ]
        mean_ns = sum(steps_ns) / sum(len(part.steps) for part in parts)
        step_ns = getattr(whole.prediction, case).step_ns
        assert step_ns == pytest.approx(mean_ns, rel=0.01)


def test_each_prefill_of_a_mixed_load_waits_for_its_tokens():
    trace = open_trace(FIXTURES / "sglang_8b_mixed")
    device = idlescope.analyze(trace).results[0]
    assert device.batching.kind == device.verdict.kind == "synchronous"
    names = np.array(trace.names)
    is_step = np.char.startswith(names, "idlescope:step[")[trace.ranges.name]
    steps = trace.ranges.take(is_step)
    waits = trace.calls.take(names[trace.calls.name] == "event.synchronize (event)")
    for start, end in zip(steps.start, steps.end, strict=True):
        assert ((waits.start >= start) & (waits.end <= end)).sum() == 1
    prefill = np.char.startswith(names, "idlescope:step[prefill")[steps.name]
    assert (prefill.sum(), len(steps)) == (9, 53)
