"""Real traces from real GPUs: every figure equals an independent program's, to the nanosecond."""

from __future__ import annotations

import json

import pytest

import idlescope
from tests.conftest import SHARED

EXPECTED = SHARED / "traces" / "expected.json"
NAMES = [n for n in json.loads(EXPECTED.read_text()) if n.endswith(".json.gz")] if EXPECTED.exists() else ["none"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_equal_to_the_nanosecond(shared_traces, name):
    expected = json.loads((shared_traces / "expected.json").read_text())[name]
    analysis = idlescope.analyze(idlescope.open(shared_traces / name))
    assert {str(d.device.index) for d in analysis.results} == set(expected)
    for device in analysis.results:
        wanted, got = expected[str(device.device.index)], device.to_json()
        assert got["operations"] == wanted.pop("ops")
        assert round(device.coverage.linked_pct, 2) == wanted.pop("linked_pct")
        assert {key: got[key] for key in wanted} == wanted
        assert sum(got["host_ns"].values()) == got["cause_ns"]["host"]


def test_transformers_bubble_is_charged_to_its_preparation(shared_traces):
    (device,) = idlescope.analyze(idlescope.open(shared_traces / "transformers_sync_h200.json.gz")).results
    assert (device.steps.found, len(device.steps)) == ("transformers spans", 24)
    assert device.verdict.kind == "synchronous"
    assert next(iter(device.host_ns)) == "prepare (cb:prepare_batch_tensors)"
    assert "76 % of the host's part is prepare (cb:prepare_batch_tensors)" in device.verdict.text
    assert not device.steps.early.any()


def test_transformers_asynchronous_steps_are_launched_before_their_predecessors_end(shared_traces):
    (device,) = idlescope.analyze(idlescope.open(shared_traces / "transformers_async_h200.json.gz")).results
    assert len(device.steps) == 24
    assert device.steps.early[1:].all()
