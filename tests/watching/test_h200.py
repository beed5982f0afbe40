"""What a watch by CUPTI recorded of a real server says what the server did: vLLM 8B on an H200."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.trace.open import open_trace
from tests.conftest import FIXTURES

# Milliseconds per step of the same servers in the same minutes, as their clients saw them: bare, by
# turns, and with asynchronous scheduling, over contexts of some 300 tokens more.
BARE_STEP_MS = (7.78, 8.54)
ASYNCHRONOUS_STEP_MS = 5.91


@pytest.fixture(scope="module")
def device():
    return idlescope.analyze(open_trace(FIXTURES / "vllm_8b_watched")).results[0]


def test_every_operation_has_its_call_and_every_launch_its_operation(device):
    assert device.coverage.linked_pct == 100
    assert device.coverage.launches_lost == 0
    assert device.gaps.totals()["unattributed"] == 0


def test_steps_batching_and_idle_are_those_of_the_server(device):
    assert len(device.steps) == 40
    assert device.batching.kind == "synchronous"
    step_ns = device.occupancy.window_ns / len(device.steps)
    assert BARE_STEP_MS[0] * 1e6 < step_ns < BARE_STEP_MS[1] * 1e6
    busy_ms = device.occupancy.active_ns / len(device.steps) / 1e6
    without_pct = [100 * (1 - busy_ms / bare_ms) for bare_ms in BARE_STEP_MS]
    assert without_pct[0] - 1.5 < device.idle_pct < without_pct[1] + 1.5


def test_the_asynchronous_step_is_predicted_and_how_vllm_is_told_to(device):
    predicted = device.prediction.predicted
    assert predicted.step_ns / 1e6 == pytest.approx(ASYNCHRONOUS_STEP_MS, rel=0.05)
    assert "(vLLM: --async-scheduling)" in device.verdict.text
