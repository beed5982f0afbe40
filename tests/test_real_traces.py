"""Real traces from real GPUs: every figure equals an independent program's, to the nanosecond."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.trace.names.own_engine import ENGINE_PHASES
from tests.conftest import FIXTURES, SHARED
from tests.make.deep import DEEP

SOURCES = (FIXTURES / "expected.json", SHARED / "traces" / "expected_returned.json")
OURS = json.loads((FIXTURES / "expected.json").read_text())
FILES = [
    (source, name)
    for source in SOURCES
    if source.is_file()
    for name in json.loads(source.read_text())
    # the whole of what is there cut down, too, in .ci/run alone
    if DEEP or source.parent == FIXTURES or name.replace("_h200", "") not in OURS
]


@pytest.mark.parametrize(("source", "name"), FILES, ids=[name for _, name in FILES])
def test_figures_are_equal_to_the_nanosecond(source, name):
    folder, expected = source.parent, json.loads(source.read_text())[name]
    trace = idlescope.open(folder / name)
    pids = trace.meta.extra.get("global_pids")
    seen = set()
    for device in idlescope.analyze(trace).results:
        # Nsight's are called by process and device, the others by device
        key = (
            f"{pids[device.device.process_name]}:{device.device.index}"
            if pids
            else str(device.device.index)
        )
        wanted, got = dict(expected[key]), device.to_json()
        seen.add(key)
        assert got["operations"] == wanted.pop("ops")
        assert round(device.coverage.linked_pct, 2) == wanted.pop("linked_pct")
        assert {key: got[key] for key in wanted} == wanted
        assert sum(got["host_ns"].values()) == got["cause_ns"]["host"]
    assert seen == set(expected)


def test_transformers_bubble_is_charged_to_its_preparation(shared_traces):
    (device,) = idlescope.analyze(
        idlescope.open(shared_traces / "transformers_sync_h200.json.gz")
    ).results
    assert (device.steps.found, len(device.steps)) == ("transformers spans", 24)
    assert device.verdict.kind == "synchronous"
    assert next(iter(device.host_ns)) == "prepare (cb:prepare_batch_tensors)"
    assert (
        "76 % of the host's part is prepare (cb:prepare_batch_tensors)"
        in device.verdict.text
    )
    assert not device.steps.early.any()


def test_transformers_asynchronous_steps_are_launched_before_their_predecessors_end(
    shared_traces,
):
    (device,) = idlescope.analyze(
        idlescope.open(shared_traces / "transformers_async_h200.json.gz")
    ).results
    assert len(device.steps) == 24
    assert device.steps.early[1:].all()


@pytest.mark.parametrize(
    ("mode", "kind"), [("sync", "synchronous"), ("async", "asynchronous")]
)
def test_our_own_engine_on_a_gpu(mode, kind):
    analysis = idlescope.analyze(idlescope.open(FIXTURES / f"idlescope_{mode}.json.gz"))
    (device,), (host,) = analysis.results, analysis.host_phases
    assert analysis.engine == "idlescope"
    assert (device.steps.found, len(device.steps), host.starts.size) == (
        "idlescope spans",
        5,
        5,
    )
    assert host.spans == dict.fromkeys(ENGINE_PHASES, 5)
    assert device.verdict.kind == kind
    assert device.steps.early[1:].all() == (mode == "async")
