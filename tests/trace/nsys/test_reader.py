"""What an export says becomes a Trace, whatever its year and form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from idlescope.analysis.analyze import analyze
from idlescope.errors import TraceError
from idlescope.trace.nsys import reader
from tests.conftest import SHARED
from tests.make.nsys_files import CALLS, Export, process
from tests.trace.nsys.small_export import names, read, small, traces

EXPECTED = SHARED / "traces" / "expected.json"
REAL = (
    [n for n in json.loads(EXPECTED.read_text()) if n.startswith("nsys")]
    if EXPECTED.exists()
    else ["none"]
)


DAMAGE = {
    "no start": {"start": None},
    "no end": {"end": None},
    "text": {"start": "soon"},
    "a fraction": {"end": 1.5},
    "bytes": {"start": b"\xff"},
    "backwards": {"end": -50},
    "infinity": {"start": float("inf")},
}


@pytest.mark.parametrize("old", [True, False], ids=["2022", "2026"])
@pytest.mark.parametrize("form", ["sqlite", "parquet"])
def test_figures_are_those_of_the_rows_whatever_the_schema_and_the_form(
    tmp_path, old, form
):
    path = getattr(small(old), form)(tmp_path / "export")
    for result, late in zip(analyze(reader.read(path)).results, (0, 500), strict=True):
        figures = result.to_json()
        assert (figures["window_ns"], figures["active_ns"], figures["idle_ns"]) == (
            5_800,
            3_900,
            1_900,
        )
        assert (figures["compute_ns"], figures["copy_only_ns"], figures["gaps"]) == (
            2_800,
            1_100,
            3,
        )
        causes = {
            "host": 400 + late,
            "launch": 600 - late,
            "queued": 200,
            "unattributed": 700,
        }
        assert figures["cause_ns"] == causes
        assert figures["coverage"]["linked_pct"] == 80.0


@pytest.mark.parametrize("old", [True, False], ids=["2022", "2026"])
def test_sqlite_and_parquet_give_the_same_trace(tmp_path, old):
    a, b = traces(small(old), tmp_path)
    for table in ("operations", "calls", "ranges"):
        for column in getattr(a, table).DTYPES:
            np.testing.assert_array_equal(
                getattr(getattr(a, table), column), getattr(getattr(b, table), column)
            )
    assert (a.names, a.devices, a.streams, a.threads) == (
        b.names,
        b.devices,
        b.streams,
        b.threads,
    )
    assert a.meta.replace(path="") == b.meta.replace(path="")


@pytest.mark.parametrize("name", REAL)
def test_figures_of_real_files_are_equal_to_the_nanosecond(shared_traces, name):
    expected = json.loads((shared_traces / "expected.json").read_text())[name]
    trace = reader.read(shared_traces / name)
    found = {
        f"{trace.meta.extra['global_pids'][d.device.process_name]}:{d.device.index}": d
        for d in analyze(trace).results
    }
    assert set(found) == set(expected)
    for key, device in found.items():
        wanted, got = expected[key], device.to_json()
        assert got["operations"] == wanted.pop("ops")
        assert round(device.coverage.linked_pct, 2) == wanted.pop("linked_pct")
        # what divides these two is what the host was doing when the gap began (DEFINITIONS); the
        # program that the figures are from had not looked at that yet
        for causes in (wanted["cause_ns"], got["cause_ns"]):
            causes["launched"] = causes.pop("launch") + causes.pop("queued")
        assert {figure: got[figure] for figure in wanted} == wanted


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("cudaLaunchKernel_v7000", "cudaLaunchKernel"),
        ("cudaStreamGetCaptureInfo_v2_v11030", "cudaStreamGetCaptureInfo_v2"),
        ("cuLaunchKernelEx", "cuLaunchKernelEx"),
    ],
)
def test_calls_are_named_without_the_version_of_their_interface(tmp_path, recorded, name):
    export = Export()
    export.call(1, 2, 1, recorded)
    assert names(read(export, tmp_path), "calls") == [name]


def test_a_call_that_was_written_twice_counts_once(tmp_path):
    export = Export()
    for _ in range(2):
        for start in (10, 30, 20):
            export.call(start, start + 5, start)
    export.call(10, 15, 10, tid=102)  # another thread's
    trace = read(export, tmp_path)
    assert trace.calls.start.tolist() == [10, 30, 20, 10]
    assert list(trace.meta.warnings) == [
        f"calls written twice were counted once: 3, the first at {CALLS} row 4"
    ]
    assert not trace.meta.lost


def test_a_driver_call_within_a_runtime_call_is_kept(tmp_path):
    export = Export()
    export.call(10, 20, 1, "cudaLaunchKernel_v7000")
    export.call(12, 18, 1, "cuLaunchKernel", eventClass=1)
    assert names(read(export, tmp_path), "calls") == ["cudaLaunchKernel", "cuLaunchKernel"]


def test_threads_are_called_what_the_program_called_them(tmp_path):
    export = Export()
    export.call(1, 2)
    export.call(1, 2, tid=102)
    export.add("ThreadNames", nameId=export.string("worker"), globalTid=process(100) | 102)
    export.add("ThreadNames", nameId=777, globalTid=None)
    assert [t.label for t in read(export, tmp_path).threads] == ["100:101", "worker"]


def test_the_export_says_what_it_is(tmp_path):
    export = small(old=True)
    export.add("PROCESSES", globalPid=process(100), pid=100, name="python3")
    export.add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=1_779_630_014_975_716_426)
    for trace in traces(export, tmp_path):
        assert (
            trace.meta.format,
            trace.meta.extra["export_schema"],
            trace.meta.events,
        ) == (
            "nsys",
            "2.9.1",
            22,
        )
        assert trace.meta.extra["processes"] == {"100": "python3"}
        assert trace.meta.session_start_ns == 1_779_630_014_975_716_426
        assert trace.meta.extra["graph_level"] is False


@pytest.mark.parametrize(
    ("text", "is_loss"),
    [
        ("CUPTI dropped 5 records. Some CUPTI events might be missing.", True),
        ("Number of incomplete CUPTI events dropped: 12.", True),
        ("Not all CUDA events might have been collected.", True),
        ("FTrace: some events (3) were lost.", True),
        ("2 GPU events were discarded as their timestamps could not be converted.", True),
        ("Number of CUDA events collected: 1,234,567.", False),
        ("No NVTX events collected. Does the process use NVTX?", False),
        ("Profiling has started.", False),
    ],
)
def test_what_the_profiler_says_that_it_lost_is_passed_on_once(tmp_path, text, is_loss):
    export = small()
    for _ in range(2):
        export.add("DIAGNOSTIC_EVENT", timestamp=0, source=1, severity=1, text=text)
    assert read(export, tmp_path).meta.dropped == ((text,) if is_loss else ())


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_rows_without_usable_times_are_left_out_and_counted(tmp_path, damage):
    export = Export()
    for add in (export.kernel, export.call):
        add(10, 20, 1)
        add(**{"start": 30, "end": 40, "correlation": 2, **damage})
        add(50, 60, 3)
    trace = read(export, tmp_path)
    assert (
        trace.operations.correlation.tolist() == trace.calls.correlation.tolist() == [1, 3]
    )
    assert trace.meta.lost == {"operations": 1, "calls": 1}
    assert all("row 2" in warning for warning in trace.meta.warnings)


def test_odd_values_where_they_matter_less_are_taken_as_missing_and_told(tmp_path):
    export = Export()
    export.copy(10, 20, bytes="many", correlationId=2.5)
    export.copy(10, 20, bytes=7.0)
    trace = read(export, tmp_path)
    assert (trace.operations.bytes.tolist(), trace.operations.correlation.tolist()) == (
        [0, 7],
        [0, 0],
    )
    assert len(trace.meta.warnings) == 2
    assert not trace.meta.lost


@pytest.mark.parametrize("seed", range(30))
def test_no_value_anywhere_stops_the_reader(tmp_path, seed):
    rng = np.random.default_rng(seed)
    export = small()
    export.add("ThreadNames", nameId=0, globalTid=process(100) | 101)
    export.add("PROCESSES", globalPid=process(100), pid=100, name="python3")
    export.add("TARGET_INFO_GPU", id=0, cuDevice=0, name="H200")
    export.add("TARGET_INFO_CUDA_DEVICE", gpuId=0, cudaId=0, pid=100)
    export.add("ENUM_CUDA_MEM_KIND", id=2, label="Device")
    export.add("DIAGNOSTIC_EVENT", text="lost")
    odd = [None, "text", "", 1.5, b"\xff\x00", -1, 2**63 - 1, -(2**63), float("inf")]
    for table, rows in export.rows.items():
        for row in rows:
            for column in row:
                if rng.random() < 0.2 and (table, column) != ("StringIds", "id"):
                    row[column] = odd[rng.integers(len(odd))]
    trace = read(export, tmp_path)
    assert (trace.operations.end >= trace.operations.start).all()
    assert (trace.calls.end >= trace.calls.start).all()


def test_times_before_the_session_are_times(tmp_path):
    export = Export()
    export.kernel(-500, -300)
    export.kernel(-100, 0)
    (device,) = analyze(read(export, tmp_path)).results
    assert device.occupancy.window == (-500, 0)


def test_progress_counts_the_rows(tmp_path):
    seen: list[int] = []
    trace = read(small(), tmp_path, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == trace.meta.events == 22


def test_an_export_without_events_is_one_sentence(tmp_path):
    export = Export()
    export.string("x")
    with pytest.raises(TraceError, match="no CUDA or NVTX events"):
        read(export, tmp_path)
