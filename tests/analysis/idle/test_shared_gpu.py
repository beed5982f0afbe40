"""What several processes have one GPU do is the union of what each of them has it do."""

import json

import pytest

import idlescope
from tests.make.engine_loops import in_turns
from tests.make.kineto_files import document


def folder_of(
    tmp_path, uuids=("", ""), ranks=False, base=1_700_000_000_000_000_000, turns=True
):
    """Two processes' traces of steps in turns, or at the same time."""
    for process, uuid in enumerate(uuids):
        first = process == 0 or not turns
        trace = document(in_turns(20, first), baseTimeNanoseconds=base)
        trace["deviceProperties"] = [{"id": 0, "name": "Test GPU"}]
        if uuid:
            trace["deviceProperties"][0]["uuid"] = uuid
        if ranks:
            trace["distributedInfo"] = {"rank": process, "world_size": 2}
        (tmp_path / f"server{process}.pt.trace.json").write_text(json.dumps(trace))
    return idlescope.analyze(idlescope.open(tmp_path))


def test_a_gpu_that_two_processes_use_in_turns_is_never_idle(tmp_path):
    analysis = folder_of(tmp_path)
    for device in analysis.results:
        assert device.idle_pct == pytest.approx(48.7, abs=1)
        assert device.shared.idle_ns == 0
        assert not device.shared.known
        assert device.verdict.kind == "busy"
        assert (
            "2 processes share this GPU, as far as the trace tells" in device.verdict.text
        )
        assert device.prediction is None
    first, _ = analysis.to_json()["devices"]
    assert first["shared_gpu"]["processes"] == [
        "server0.pt.trace.json",
        "server1.pt.trace.json",
    ]


def test_the_same_identity_is_the_same_gpu_also_where_operations_overlap(tmp_path):
    analysis = folder_of(tmp_path, ("GPU-1", "GPU-1"), turns=False)
    for device in analysis.results:
        assert device.shared.known
        assert device.shared.active_ns == device.occupancy.active_ns


@pytest.mark.parametrize(
    ("uuids", "ranks"),
    [(("GPU-1", "GPU-2"), False), (("", ""), True), (("", "GPU-1"), False)],
)
def test_other_gpus_and_ranks_of_one_job_are_not_shared(tmp_path, uuids, ranks):
    analysis = folder_of(tmp_path, uuids, ranks)
    assert [device.shared for device in analysis.results] == [None, None]


def test_processes_that_overlap_are_not_taken_for_sharing_a_gpu(tmp_path):
    analysis = folder_of(tmp_path, turns=False)
    assert [device.shared for device in analysis.results] == [None, None]


def test_without_a_common_clock_nothing_is_told(tmp_path):
    analysis = folder_of(tmp_path, ("GPU-1", "GPU-1"), base=None)
    assert [device.shared for device in analysis.results] == [None, None]


def test_of_a_window_it_is_told_what_the_processes_did_in_it(tmp_path):
    """One process is there for a second before the other comes: then the GPU was idle, not later."""
    base = 1_700_000_000_000_000_000
    for process in (0, 1):
        early = in_turns(20, process == 0)
        events = [event | {"ts": event["ts"] + 1e6} for event in early]
        if process == 0:
            lone = next(event for event in early if event["cat"] == "kernel")
            events.append(lone | {"ts": 5.0, "args": {"device": 0, "stream": 7}})
        trace = document(events, baseTimeNanoseconds=base)
        trace["deviceProperties"] = [{"id": 0, "name": "Test GPU", "uuid": "GPU-1"}]
        (tmp_path / f"server{process}.pt.trace.json").write_text(json.dumps(trace))
    trace = idlescope.open(tmp_path)
    whole, _ = idlescope.analyze(trace).results
    assert whole.shared.idle_pct > 50
    (later,) = idlescope.analyze(trace, window="time:1s-1.05s", process="server0").results
    assert later.shared.idle_pct < 1
    assert (later.shared.window_ns, later.verdict.kind) == (50_000_000, "busy")
