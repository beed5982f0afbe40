"""Forward-pass metrics of Dynamo: steps with their wall times, without a device, and saying so."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.analysis.no_device import no_device
from idlescope.errors import TraceError
from idlescope.trace.open import open_trace
from tests.make.commands import idlescope as command
from tests.make.dynamo_files import WHEN_MS, record, write


@pytest.mark.parametrize("name", ["dynamo-fpm.4192.000000.jsonl.gz", "a.jsonl"])
def test_each_pass_is_a_step(tmp_path, name):
    trace = open_trace(
        write(tmp_path / name, [record(n, 0.020 + n / 1000) for n in range(5)])
    )
    assert trace.meta.format == "dynamo"
    lengths = (trace.ranges.end - trace.ranges.start).tolist()
    assert lengths == [20_000_000, 21_000_000, 22_000_000, 23_000_000, 24_000_000]
    assert trace.ranges.step.tolist() == [40, 41, 42, 43, 44]
    ends = trace.ranges.end + trace.meta.session_start_ns
    assert ends.tolist() == [(WHEN_MS + 30 * n) * 10**6 for n in range(5)]
    values = {
        trace.names[name]: value
        for name, value in zip(trace.counters.name, trace.counters.value, strict=True)
    }
    assert values == {
        "decode requests": 3,
        "prefill requests": 2,
        "prefill tokens": 256,
        "queued requests": 1,
    }


def test_the_result_says_that_there_is_no_device(tmp_path):
    path = write(tmp_path / "a.jsonl", [record(n) for n in range(5)])
    trace = open_trace(path)
    assert "not what a GPU did" in trace.meta.warnings[0]
    assert "idlescope capture" in no_device(trace)
    analysis = idlescope.analyze(trace)
    assert not analysis.results
    (worker,) = analysis.to_json()["phases"]
    assert (
        worker["steps"],
        worker["step_ns"],
        worker["phases"]["forward"]["total_ns"],
    ) == (5, 30_000_000, 5 * 25_000_000)
    shown = command("analyze", path).stdout
    assert "not what a GPU did" in " ".join(shown.split())


def test_samples_and_heartbeats_are_told(tmp_path):
    records = [
        record(0, mode="sampled"),
        record(1, 0.0, mode="sampled"),
        record(2, mode="sampled"),
    ]
    trace = open_trace(write(tmp_path / "a.jsonl", records))
    assert len(trace.ranges) == 2
    assert any("DYN_FPM_MODE=full" in warning for warning in trace.meta.warnings)


def test_workers_and_ranks_are_apart(tmp_path):
    records = [record(0, worker="a"), record(1, worker="b"), record(2, worker="b", rank=1)]
    trace = open_trace(write(tmp_path / "a.jsonl", records))
    assert [(thread.process, thread.label) for thread in trace.threads] == [
        (0, "rank 0"),
        (1, "rank 0"),
        (1, "rank 1"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"wall_time": "x"},
        {"wall_time": -1},
        {"wall_time": 1e9},
        {"counter_id": -5},
        {"counter_id": 2**70},
    ],
)
def test_lines_that_cannot_be_read_are_counted(tmp_path, change):
    records = [record(0), record(1), record(2)]
    records[1]["event"]["fpm"] |= change
    trace = open_trace(write(tmp_path / "a.jsonl", records))
    assert trace.meta.lost == {"ranges": 1}
    assert any("line 2" in warning for warning in trace.meta.warnings)


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_of_a_file_that_was_cut_off_what_is_there_is_read(tmp_path, share):
    path = write(tmp_path / "a.jsonl.gz", [record(n) for n in range(4_000)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert open_trace(path).meta.truncated


def test_a_file_without_passes_is_one_sentence(tmp_path):
    path = write(tmp_path / "a.jsonl", [record(0, 0.0)])
    with pytest.raises(TraceError, match="holds no forward passes"):
        open_trace(path)


def test_requests_of_dynamo_are_still_named_and_refused(tmp_path):
    (tmp_path / "r.jsonl").write_text(
        '{"schema": "dynamo.request.trace.v1"}\n{"schema": "dynamo.request.trace.v1"}\n'
    )
    with pytest.raises(TraceError, match="a request trace of NVIDIA Dynamo"):
        open_trace(tmp_path / "r.jsonl")
