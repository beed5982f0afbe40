"""Any Trace, written for Perfetto, is shown whole and read back as it was."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import idlescope
from idlescope.export.perfetto import writer
from idlescope.export.processes import pids
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.recording import files
from tests.conftest import REAL_TRACES
from tests.make import perfetto_lint as lint
from tests.make import real_traces
from tests.make.traces import any_trace, numbers, records, trace

ROOT = Path(__file__).resolve().parents[3]
KERNEL, ANNOTATION, OVERHEAD = (
    OperationKind.KERNEL,
    RangeKind.ANNOTATION,
    RangeKind.OVERHEAD,
)


def written(given_trace, tmp_path, analysed=False):
    path = tmp_path / "t.json.gz"
    results = (
        idlescope.analyze(given_trace).results
        if analysed and len(given_trace.operations)
        else ()
    )
    writer.write(given_trace, path, results)
    return lint.load(path)


def figures(document):
    """Every figure of an analysis; only where it was read from differs, and which process comes first."""
    return {
        k: sorted(v, key=repr) if isinstance(v, list) else v
        for k, v in document.items()
        if k != "source"
    }


def operation(start, end, stream=0, device=0, correlation=0, name=0):
    return (start, end, KERNEL, device, stream, name, correlation, -1, 0, 0.0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(any_trace(), st.booleans())
def test_any_trace_is_shown_whole_and_reads_back(tmp_path, made, analysed):
    assert lint.findings(written(made, tmp_path, analysed)) == []
    again = idlescope.open(tmp_path / "t.json.gz")
    number = pids(made)
    known = {d.process_name: str(number[d.process]) for d in made.devices}
    several = (
        len(number) > 1
    )  # the reader names a lone process by its calls, and there need not be any
    assert records(
        again, lambda d: several and known.get(d.process_name, d.process_name)
    ) == records(made, lambda d: several and known[d.process_name])
    if len(made.operations):
        assert numbers(idlescope.analyze(again)) == numbers(idlescope.analyze(made))


@pytest.mark.parametrize("real", REAL_TRACES, indirect=True)
def test_real_traces_are_shown_whole_and_analyse_the_same(real, tmp_path):
    original = real_traces.analysed(real)
    path = tmp_path / "t.json.gz"
    writer.write(original.trace, path, original.results)
    assert lint.findings(lint.load(path)) == []
    shown = idlescope.analyze(idlescope.open(path)).to_json()
    assert figures(shown) == figures(real_traces.document_of(real))


def test_overlapping_operations_lie_on_extra_tracks_of_their_stream(tmp_path):
    made = trace(
        [operation(0, 10), operation(5, 15), operation(20, 30), operation(0, 9, stream=1)],
        processes=("1",),
    )
    events = written(made, tmp_path)["traceEvents"]
    tracks = {
        e["tid"]: e["args"]["name"]
        for e in events
        if e["name"] == "thread_name" and e["pid"] == 1000
    }
    shown = [(tracks[e["tid"]], e["args"]["stream"]) for e in events if e["ph"] == "X"]
    assert shown == [
        ("stream 7", "7"),
        ("stream 7 (2)", "7"),
        ("stream 7", "7"),
        ("stream 8", "8"),
    ]
    order = {
        e["tid"]: e["args"]["sort_index"]
        for e in events
        if e["name"] == "thread_sort_index"
    }
    assert sorted(tracks.values()) == [tracks[tid] for tid in sorted(order, key=order.get)]


def test_overlapping_ranges_say_whose_thread_they_are(tmp_path):
    made = trace(
        ranges=[(0, 10, 0, 0, ANNOTATION, -1), (5, 15, 0, 0, ANNOTATION, 2)],
        calls=[(6, 20, 0, 1, 0)],
    )
    slices = [e for e in written(made, tmp_path)["traceEvents"] if e["ph"] == "X"]
    assert [(e["tid"], e.get("args")) for e in slices] == [
        (1, None), (5, {"step": 2, "track": 1}), (6, {"track": 1})
    ]  # fmt: skip


def test_the_profilers_own_work_lies_beside_the_thread(tmp_path):
    made = trace(
        ranges=[
            (0, 10, 0, 0, ANNOTATION, -1),
            (2, 4, 0, 0, OVERHEAD, -1),
            (2, 4, 1, 0, OVERHEAD, -1),
        ]
    )
    events = written(made, tmp_path)["traceEvents"]
    named = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert [named[e["tid"]] for e in events if e["ph"] == "X"] == [
        "thread 0 of 100", "thread 0 of 100: profiler overhead", "thread 1 of 100"
    ]  # fmt: skip


def test_processes_whose_ids_collide_stay_apart(tmp_path):
    made = trace(
        [
            operation(10, 20, device=0, correlation=5),
            operation(30, 40, device=1, correlation=5),
        ],
        [(1, 2, 0, 1, 5), (25, 26, 2, 1, 5)],
    )
    document = written(made, tmp_path)
    events = document["traceEvents"]
    assert {e["args"]["process"] for e in events if e.get("cat") == "kernel"} == {100, 200}
    assert {e["pid"] for e in events if e.get("cat") == "cuda_runtime"} == {100, 200}
    assert len({e["id"] for e in events if e["ph"] == "s"}) == 2
    assert [d["process"] for d in document["deviceProperties"]] == [100, 200]
    assert len({e["args"]["name"] for e in events if e["name"] == "process_name"}) == 4


def test_processes_and_their_devices_keep_their_names(tmp_path):
    operations = [
        operation(10, 20, device=0, correlation=5),
        operation(30, 40, device=1, correlation=5),
    ]
    made = trace(
        operations, [(1, 2, 0, 1, 5), (25, 26, 2, 1, 5)], processes=("rank 0", "rank 1")
    )
    made = replace(
        made,
        devices=tuple(replace(d, identity=f"GPU-{i}") for i, d in enumerate(made.devices)),
    )
    written(made, tmp_path)
    assert set(idlescope.open(tmp_path / "t.json.gz").devices) == set(made.devices)


def test_one_process_has_the_words_of_any_kineto_file(tmp_path):
    made = trace([operation(10, 20, correlation=5)], [(1, 2, 0, 1, 5)], processes=("100",))
    document = written(made, tmp_path)
    assert all("process" not in (e.get("args") or {}) for e in document["traceEvents"])
    assert document["deviceProperties"] == [{"id": 0, "name": "GPU of 100"}]


def test_one_launch_has_one_arrow_to_each_stream(tmp_path):
    graph = [operation(10 + i, 11 + i, stream=i % 2, correlation=9) for i in range(50)]
    made = trace(
        [*graph, operation(1, 2, correlation=3)],
        [(5, 6, 0, 1, 9), (2, 3, 0, 1, 3)],
        processes=("100",),
    )
    events = written(made, tmp_path)["traceEvents"]
    assert lint.findings({"traceEvents": events}) == []
    ends = [e["ts"] for e in events if e["ph"] == "f"]
    assert ends == [0.01, 0.011]  # the operation that began before its launch has none


@pytest.mark.parametrize("first", [-7, 1_669_783_687_464_181_123])
def test_times_that_perfetto_cannot_show_are_shifted_and_told(tmp_path, first):
    meta = {
        "baseTimeNanoseconds": 1_000_000_000_000,
        "time_offset_ns": 3,
    }  # of an earlier file
    made = trace(
        [operation(first, first + 10)],
        counters=[(first + 5, 0, 0.1)],
        processes=("1",),
        meta=meta,
    )
    document = written(made, tmp_path)
    assert document["idlescope"]["time_offset_ns"] == first - 1000
    assert document["baseTimeNanoseconds"] == 1_000_000_000_000 + first - 1000
    assert [e["ts"] for e in document["traceEvents"] if e["ph"] in "XC"] == [1.0, 1.005]
    again = idlescope.open(tmp_path / "t.json.gz")
    assert again.operations.start.tolist() == [first]
    assert again.meta.base_time_ns == 1_000_000_000_000
    assert "time_offset_ns" not in again.meta.extra


def test_counters_keep_every_digit_and_are_numbers(tmp_path):
    values = [0.1 + 0.2, 1e300, float("nan"), float("inf"), 16384.0]
    made = trace(counters=[(i, 0, v) for i, v in enumerate(values)])
    counters = [
        e["args"]["value"] for e in written(made, tmp_path)["traceEvents"] if e["ph"] == "C"
    ]
    assert counters == [0.1 + 0.2, 1e300, 16384]
    assert writer.left_out(made) == [
        "counters that are no numbers have no place in JSON: 2 left out"
    ]


def test_what_the_reader_lost_is_not_forgotten(tmp_path):
    told = {
        "lost": {"calls": 2},
        "warnings": ["calls were left out: 2, the first at byte 9"],
    }
    meta = {**told, "path": "/home/me/t.json", "events": 5, "odd": float("nan")}
    made = trace([operation(0, 10)], processes=("1",), meta=meta)
    document = written(made, tmp_path)
    assert document["idlescope"] == {"format": "memory", **told, "odd": None}
    assert idlescope.open(tmp_path / "t.json.gz").meta.lost == {"calls": 2}


def test_a_name_without_gz_is_not_packed(tmp_path):
    made = trace([operation(0, 10)], processes=("1",))
    writer.write(made, tmp_path / "t.json")
    writer.write(made, tmp_path / "t.json.gz")
    assert json.loads((tmp_path / "t.json").read_text())["schemaVersion"] == 1
    assert (
        gzip.decompress((tmp_path / "t.json.gz").read_bytes())
        == (tmp_path / "t.json").read_bytes()
    )


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_committed_example_is_what_is_written(mode, tmp_path):
    folder = ROOT / "reports" / "example"
    recorded = files.read(folder / f"{mode}.recording")
    writer.write(recorded, tmp_path / "t.json", idlescope.analyze(recorded).results)
    assert (
        gzip.decompress((folder / f"{mode}.trace.json.gz").read_bytes())
        == (tmp_path / "t.json").read_bytes()
    )


def test_lanes_are_found_in_a_large_track(tmp_path):
    start = np.arange(0, 200_000, 2)
    made = trace([operation(int(s), int(s) + 3) for s in start[:20_000]], processes=("1",))
    assert lint.findings(written(made, tmp_path)) == []


def test_a_small_pid_is_no_track_of_another_thread(tmp_path):
    """Perfetto lays tid 0 on the track whose tid is the pid: a process with pid 1 would lose one thread to another."""
    made = trace(ranges=[(0, 10, 0, 0, ANNOTATION, -1), (5, 15, 1, 0, ANNOTATION, -1)])
    pid_one = tuple(replace(d, process_name="1") for d in made.devices[:1])
    document = written(replace(made, devices=pid_one + made.devices[1:]), tmp_path)
    assert {e["pid"] for e in document["traceEvents"] if e["ph"] == "X"} == {1}
    assert lint.findings(document) == []


def test_of_threads_that_launch_as_much_the_same_one_counts_however_they_are_numbered(
    tmp_path,
):
    calls = [(0, 0, 0, 0, 0), (0, 0, 2, 0, 2), (0, 0, 3, 0, 1)]
    nothing_asked = [
        (0, 0, 0, 0, int(ANNOTATION), 0),
        (0, 1, 3, 0, int(RangeKind.NO_DEMAND), 0),
    ]
    operations = [operation(0, 0, device=min(n, 1), correlation=n) for n in range(3)]
    made = trace(operations, calls, nothing_asked)
    written(made, tmp_path)
    again = idlescope.open(tmp_path / "t.json.gz")
    assert [t.label for t in again.threads] != [t.label for t in made.threads]
    assert numbers(idlescope.analyze(again)) == numbers(idlescope.analyze(made))
