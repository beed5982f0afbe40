from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlescope.analysis.analyze import analyze
from idlescope.errors import TraceError
from idlescope.trace.model import OperationKind, RangeKind, Trace
from idlescope.trace.nsys import columns as nsys_columns
from idlescope.trace.nsys import reader
from idlescope.trace.nsys import sqlite as sqlite_tables
from tests.conftest import SHARED
from tests.make.nsys_files import CALLS, GRAPHS, KERNELS, NVTX, OVERHEAD, Export, process

EXPECTED = SHARED / "traces" / "expected.json"
REAL = (
    [n for n in json.loads(EXPECTED.read_text()) if n.startswith("nsys")]
    if EXPECTED.exists()
    else ["none"]
)


def small(old: bool = False) -> Export:
    """Two processes with the same correlation ids and pid-own domains; every row of a kind that nsys writes."""
    export = Export(old)
    for pid, late in ((100, 0), (200, 500)):
        export.domain(1, "NCCL" if pid == 100 else "idlescope", pid)
        export.domain(2, "idlescope" if pid == 100 else "CCCL", pid)
        export.call(1_000 + late, 1_100 + late, 1, pid=pid)
        export.kernel(2_000, 3_000, 1, pid=pid)  # the first
        export.call(3_400 + late, 3_450 + late, 2, "cudaMemcpyAsync_v3020", pid=pid)
        export.copy(
            4_000, 5_000, 2, pid=pid, stream=9
        )  # a gap of 1,000: host 400 + late, launch the rest
        export.call(4_500, 4_600, 3, "cudaGraphLaunch_v10000", pid=pid)
        export.kernel(
            5_200, 6_000, 3, pid=pid, graphNodeId=77
        )  # a gap of 200, launched before it: queued
        export.kernel(5_900, 7_000, 3, pid=pid, graphNodeId=78)
        export.memset(7_700, 7_800, pid=pid)  # a gap of 700 that nothing is known of
        export.range(900, 3_500, "forward", pid=pid)
        export.range(
            950,
            1_500,
            "schedule",
            registered=True,
            domain=2 if pid == 100 else 1,
            pid=pid,
            int64Value=7,
        )
        export.range(
            1_000, 1_400, "aten::mm, seq = 4, op_id = 314290, sizes = [[2, 3], [3, 2]]", pid=pid
        )
    return export


def traces(export: Export, folder) -> tuple[Trace, Trace]:
    return reader.read(export.sqlite(folder / "e.sqlite")), reader.read(
        export.parquet(folder / "e_pqtdir")
    )


def read(export: Export, folder, **options) -> Trace:
    return reader.read(export.sqlite(folder / "e.sqlite"), **options)


def names(trace: Trace, table: str) -> list[str]:
    return [trace.names[i] for i in getattr(trace, table).name]


@pytest.mark.parametrize("old", [True, False], ids=["2022", "2026"])
@pytest.mark.parametrize("form", ["sqlite", "parquet"])
def test_figures_are_those_of_the_rows_whatever_the_schema_and_the_form(tmp_path, old, form):
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
        causes = {"host": 400 + late, "launch": 600 - late, "queued": 200, "unattributed": 700}
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
    assert (a.names, a.devices, a.streams, a.threads) == (b.names, b.devices, b.streams, b.threads)
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
        assert {figure: got[figure] for figure in wanted} == wanted


def test_a_device_is_one_gpu_as_one_process_saw_it(tmp_path):
    trace = read(small(), tmp_path)
    assert [(d.process_name, d.index) for d in trace.devices] == [("100", 0), ("200", 0)]
    assert trace.meta.extra["global_pids"] == {"100": process(100), "200": process(200)}
    assert {t.process for t in trace.threads} == {d.process for d in trace.devices}


def test_processes_of_two_machines_with_one_pid_keep_apart(tmp_path):
    export = Export()
    export.kernel(1, 2)
    export.kernel(1, 2, globalPid=process(100, machine=2))
    assert [d.process_name for d in read(export, tmp_path).devices] == ["100@1", "100@2"]


def test_a_gpu_is_told_by_the_ordinal_of_its_process(tmp_path):
    export = Export()
    for pid, gpu in ((100, 5), (200, 6)):
        export.kernel(1, 2, pid=pid)
        export.add(
            "TARGET_INFO_GPU",
            id=gpu,
            name=f"H{gpu}",
            busLocation=f"0000:0{gpu}:00.0",
            uuid=f"GPU-{gpu}",
        )
        export.add("TARGET_INFO_CUDA_DEVICE", gpuId=gpu, cudaId=0, pid=pid)
    export.kernel(1, 2, pid=300, device=5)  # not in the map: no guess
    told = [(d.name, d.identity) for d in read(export, tmp_path).devices]
    assert told == [("H5", "GPU-5"), ("H6", "GPU-6"), ("", "")]


def test_a_gpu_without_a_map_of_ordinals_is_told_by_its_cuda_number(tmp_path):
    export = Export()
    export.kernel(1, 2, device=1)
    export.kernel(1, 2, device=4)
    export.add("TARGET_INFO_GPU", id=0, cuDevice=1, name="H1", busLocation="0000:01:00.0")
    assert [(d.name, d.identity) for d in read(export, tmp_path).devices] == [
        ("H1", "0000:01:00.0"),
        ("", ""),
    ]


def test_a_graph_launch_is_one_compute_operation_where_graphs_are_traced_whole(tmp_path):
    export = Export()
    export.call(0, 10, 5, "cudaGraphLaunch_v10000")
    export.graph(100, 400, 5)
    trace = read(export, tmp_path)
    assert (trace.operations.kind.tolist(), names(trace, "operations")) == (
        [OperationKind.GRAPH],
        ["graph 3"],
    )
    assert trace.meta.extra["graph_level"] is True
    (device,) = analyze(trace).results
    assert (device.to_json()["compute_ns"], device.coverage.linked_pct) == (300, 100.0)


def test_operations_whose_times_were_not_collected_are_left_out_and_counted(tmp_path):
    export = Export()
    export.graph(5_000, 6_000)
    export.graph(0, 0)
    export.kernel(0, 0)
    trace = read(export, tmp_path)
    assert trace.operations.start.tolist() == [5_000]
    assert trace.meta.lost == {"operations": 2}
    assert list(trace.meta.warnings) == [
        f"operations with zeros for their times were left out: 2, the first at {KERNELS} row 1"
    ]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({}, "void k<(int)4>(float *)"),
        ({"demangledName": None}, "k"),
        ({"demangledName": 9_999, "shortName": None}, "_Z1k"),
        ({"demangledName": None, "shortName": None, "mangledName": None}, "kernel"),
    ],
)
def test_a_kernel_has_its_fullest_name(tmp_path, row, name):
    export = Export()
    export.kernel(1, 2, name="another")
    export.kernel(3, 4, **row)
    assert names(read(export, tmp_path), "operations") == ["another", name]


@pytest.mark.parametrize("with_tables", [True, False])
def test_copies_are_named_as_kineto_names_them(tmp_path, with_tables):
    export = Export()
    copies = {
        (1, 1, 2): "Memcpy HtoD (Pinned -> Device)", (2, 2, 0): "Memcpy DtoH (Device -> Pageable)",
        (8, 2, 2): "Memcpy DtoD (Device -> Device)", (10, 2, 2): "Memcpy PtoP (Device -> Device)",
        (1, None, None): "Memcpy HtoD", (None, None, None): "Memcpy", (11, 4, 2): "Memcpy UVM HtoD (Managed -> Device)",
    }  # fmt: skip
    for ways in copies:
        export.copy(1, 2, ways=ways)
    export.memset(3, 4)
    export.memset(3, 4, memKind=None)
    if with_tables:
        export.add(
            "ENUM_CUDA_MEMCPY_OPER", id=8, name="CUDA_MEMCPY_KIND_DTOD", label="Device-to-Device"
        )
        export.add(
            "ENUM_CUDA_MEM_KIND", id=2, name="CUDA_MEMOPR_MEMORY_KIND_DEVICE", label="Device"
        )
    trace = read(export, tmp_path)
    assert names(trace, "operations") == [*copies.values(), "Memset (Device)", "Memset"]
    assert trace.operations.bytes.tolist() == [4096] * len(copies) + [64, 64]


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


def test_ranges_have_their_text_or_the_registered_string_and_their_domain_before_it(tmp_path):
    trace = read(small(), tmp_path)
    assert names(trace, "ranges") == ["forward", "idlescope:schedule", "aten::mm"] * 2
    kinds = [RangeKind.ANNOTATION, RangeKind.ANNOTATION, RangeKind.OPERATOR]
    assert trace.ranges.kind.tolist() == kinds * 2


def test_domains_are_a_processes_own(tmp_path):
    export = Export()
    for pid, name in ((100, "NCCL"), (200, "CCCL")):
        export.range(1, 2, "ncclAllReduce", domain=1, pid=pid)
        export.domain(1, name, pid)
    export.range(
        1, 2, "x", domain=1, pid=300
    )  # the row with this domain's name is not in the export
    assert names(read(export, tmp_path), "ranges") == [
        "NCCL:ncclAllReduce",
        "CCCL:ncclAllReduce",
        "x",
    ]


@pytest.mark.parametrize("payload", ["int64Value", "uint64Value", "int32Value", "uint32Value"])
def test_a_payload_in_our_domain_is_a_step_number_and_elsewhere_it_is_not(tmp_path, payload):
    export = Export()
    export.domain(1, "idlescope")
    export.range(1, 2, "schedule", domain=1, **{payload: 41})
    export.range(2, 3, "update", domain=1)
    export.range(3, 4, "update", domain=1, **{payload: -5})
    export.range(4, 5, "else", **{payload: 41})
    assert read(export, tmp_path).ranges.step.tolist() == [41, -1, -1, -1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("aten::view, op_id = 314290", "aten::view"),
        ("FlashAttnFunc, seq = 45368, op_id = 990812", "FlashAttnFunc"),
        ("MmBackward0, seq = 3", "MmBackward0"),
        ("aten::to, op_id = 5, sizes = [[2], []], input_op_ids = [(1,0)]", "aten::to"),
        ("FSDP::pre_forward (blocks.3), op_id = 1", "FSDP::pre_forward (blocks.3)"),
    ],
)
def test_operators_of_pytorch_lose_their_ids_and_are_left_out_without_frames(tmp_path, text, name):
    export = Export()
    export.range(1, 2, text)
    export.range(1, 3, "step, batch = 4")
    trace = read(export, tmp_path)
    assert names(trace, "ranges") == [name, "step, batch = 4"]
    assert trace.ranges.kind.tolist() == [RangeKind.OPERATOR, RangeKind.ANNOTATION]
    assert names(reader.read(tmp_path / "e.sqlite", frames=False), "ranges") == ["step, batch = 4"]


def test_start_end_ranges_are_kept_and_marks_are_not(tmp_path):
    export = Export()
    export.range(1, 2, "pushed")
    export.range(1, 5, "started", event=60, endGlobalTid=process(100) | 999)
    export.range(3, None, "mark", event=34)
    trace = read(export, tmp_path)
    assert names(trace, "ranges") == ["pushed", "started"]
    assert [trace.threads[t].label for t in trace.ranges.thread] == ["100:101", "100:101"]
    assert not trace.meta.warnings


def test_a_range_that_was_never_closed_ends_with_the_recording(tmp_path):
    export = Export()
    export.range(100, None, "open")
    export.kernel(500, 900)
    trace = read(export, tmp_path)
    assert trace.ranges.end.tolist() == [900]
    assert list(trace.meta.warnings) == [
        f"ranges that were never closed end with the recording: 1, the first at {NVTX} row 1"
    ]
    assert not trace.meta.lost


def test_the_profilers_own_work_is_overhead(tmp_path):
    export = Export()
    tid = process(100) | 101
    export.add(
        OVERHEAD,
        start=5,
        end=8,
        globalTid=tid,
        nameId=export.string("Command Buffer Full"),
        overheadType=8,
    )
    export.add("PROFILER_OVERHEAD", start=6, end=7, globalTid=tid, nameId=None)
    export.add("PROFILER_OVERHEAD", start=0, end=0, globalTid=tid)
    export.add("PROFILER_OVERHEAD", start=9, end=2, globalTid=tid)
    trace = read(export, tmp_path)
    assert names(trace, "ranges") == ["Command Buffer Full", "profiler overhead"]
    assert set(trace.ranges.kind.tolist()) == {RangeKind.OVERHEAD}
    assert trace.meta.lost == {"ranges": 2}


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
        assert (trace.meta.format, trace.meta.extra["export_schema"], trace.meta.events) == (
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


DAMAGE = {
    "no start": {"start": None}, "no end": {"end": None}, "text": {"start": "soon"}, "a fraction": {"end": 1.5},
    "bytes": {"start": b"\xff"}, "backwards": {"end": -50}, "infinity": {"start": float("inf")},
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_rows_without_usable_times_are_left_out_and_counted(tmp_path, damage):
    export = Export()
    for add in (export.kernel, export.call):
        add(10, 20, 1)
        add(**{"start": 30, "end": 40, "correlation": 2, **damage})
        add(50, 60, 3)
    trace = read(export, tmp_path)
    assert trace.operations.correlation.tolist() == trace.calls.correlation.tolist() == [1, 3]
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


def test_operations_of_no_device_and_calls_of_no_thread_are_left_out_and_counted(tmp_path):
    export = small()
    export.kernel(1, 2, deviceId=None)
    export.call(1, 2, globalTid=None)
    assert read(export, tmp_path).meta.lost == {"operations": 1, "calls": 1}


def test_operations_without_a_process_are_the_only_callers(tmp_path):
    export = Export()
    export.call(1, 2, 4)
    export.kernel(5, 6, 4, globalPid=None)
    (device,) = analyze(read(export, tmp_path)).results
    assert (device.coverage.linked_pct, device.device.process_name) == (100.0, "100")


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


def test_text_that_is_not_utf8_is_read(tmp_path):
    path = small().sqlite(tmp_path / "e.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE NVTX_EVENTS SET text = CAST(x'6b80' AS TEXT) WHERE text = 'forward'"
        )
    assert "k\ufffd" in reader.read(path).names


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_table_is_read_in_chunks_of_any_size_also_with_rows_deleted(tmp_path, monkeypatch, size):
    path = small().sqlite(tmp_path / "e.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"DELETE FROM {CALLS} WHERE rowid IN (2, 3)")  # noqa: S608
    whole = reader.read(path)
    monkeypatch.setattr(sqlite_tables, "ROWS_AT_ONCE", size)
    monkeypatch.setattr(sqlite_tables, "STRINGS_AT_ONCE", size)
    assert [t.to_frame().equals(w.to_frame()) for t, w in zip(tables(reader.read(path)), tables(whole), strict=True)] == [
        True, True, True,
    ]  # fmt: skip


def test_an_index_that_a_tool_has_added_changes_nothing(tmp_path):
    path = small().sqlite(tmp_path / "e.sqlite")
    whole = reader.read(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE INDEX i ON {NVTX} (text DESC)")
        database.execute(
            f"CREATE INDEX j ON {NVTX} (start DESC, end, eventType, globalTid, textId, domainId)"
        )
        database.execute("ANALYZE")
    assert all(
        t.to_frame().equals(w.to_frame())
        for t, w in zip(tables(reader.read(path)), tables(whole), strict=True)
    )


def tables(trace: Trace):
    return trace.operations, trace.calls, trace.ranges


def test_progress_counts_the_rows(tmp_path):
    seen: list[int] = []
    trace = read(small(), tmp_path, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == trace.meta.events == 22


@pytest.mark.parametrize("name", ["e.sqlite", "with space #1 ? 100%41.sqlite", "ü.db"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_file_and_its_folder_stay_as_they_were_also_read_only(tmp_path, name, mode):
    folder = tmp_path / "in"
    folder.mkdir()
    path = small().sqlite(folder / name)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
    before = path.read_bytes(), path.stat().st_mtime_ns, os.listdir(folder)
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert len(reader.read(path).operations) == 10
    finally:
        folder.chmod(0o755)
    assert (path.read_bytes(), path.stat().st_mtime_ns, os.listdir(folder)) == before


def test_a_folder_of_parquet_files_is_told_from_others(tmp_path):
    folder = small().parquet(tmp_path / "export")
    assert reader.is_parquet_export(folder)
    assert not reader.is_parquet_export(tmp_path)


def test_an_sqlite_file_is_read_without_pyarrow_and_pandas(tmp_path):
    path = small().sqlite(tmp_path / "e.sqlite")
    code = (
        "import sys, pathlib; from idlescope.trace.nsys import reader; reader.read(pathlib.Path(sys.argv[1]));"
        "print([m for m in ('pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"SQLite format 3\x00" + b"no" * 500)
    with pytest.raises(
        TraceError, match=r"x\.sqlite is not a whole SQLite database .*nsys export --type sqlite"
    ):
        reader.read(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_database_that_is_cut_short_is_one_sentence(tmp_path, share):
    export = small()
    for i in range(5_000):
        export.kernel(10_000 + i, 10_000 + i)
    path = export.sqlite(tmp_path / "x.sqlite")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(TraceError, match=r"not a whole SQLite database .*malformed.*copy it again"):
        reader.read(path)


def test_a_database_with_a_page_overwritten_is_one_sentence_or_is_read(tmp_path):
    export = small()
    for i in range(5_000):
        export.kernel(10_000 + i, 10_000 + i)
    sound = export.sqlite(tmp_path / "x.sqlite").read_bytes()
    rng = np.random.default_rng(0)
    for page in range(1, len(sound) // 4096, 7):
        path = tmp_path / f"{page}.sqlite"
        path.write_bytes(sound[: page * 4096] + rng.bytes(4096) + sound[(page + 1) * 4096 :])
        try:
            reader.read(path)
        except TraceError as error:
            assert "not a whole SQLite database" in str(error)  # noqa: PT017


def test_another_programs_database_is_one_sentence(tmp_path):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (a)")
    with pytest.raises(TraceError, match="none of the tables of Nsight Systems"):
        reader.read(path)


def test_an_export_without_events_is_one_sentence(tmp_path):
    export = Export()
    export.string("x")
    with pytest.raises(TraceError, match="no CUDA or NVTX events"):
        read(export, tmp_path)


def test_a_database_that_is_being_written_is_one_sentence(tmp_path):
    path = small().sqlite(tmp_path / "x.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TraceError, match="being written by another program"):
            reader.read(path)


def test_changes_outside_the_file_are_one_sentence(tmp_path):
    path = small().sqlite(tmp_path / "x.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("DELETE FROM StringIds")
        with pytest.raises(TraceError, match=r"changes in x\.sqlite-wal"):
            reader.read(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        reader.read(tmp_path / "x.sqlite")


def test_a_parquet_file_that_is_cut_short_is_one_sentence(tmp_path):
    folder = small().parquet(tmp_path / "export")
    path = folder / f"{CALLS}.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(
        TraceError, match=rf"{CALLS}\.parquet is not a whole Parquet file .*--type parquetdir"
    ):
        reader.read(folder)


def test_parquet_columns_of_other_types_are_read_or_counted(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    folder = tmp_path / "export"
    folder.mkdir()
    times = {
        "start": pa.array(["1", "x", "5"]),
        "end": [2.0, 3.0, 6.5],
        "deviceId": [True, True, True],
    }
    parquet.write_table(pa.table(times), folder / f"{GRAPHS}.parquet")
    trace = reader.read(folder)
    assert (trace.operations.start.tolist(), trace.operations.end.tolist()) == ([1], [2])
    assert (trace.meta.lost, trace.devices[0].index) == ({"operations": 2}, 1)


@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(-3, 3)))
def test_distinct_values_are_those_of_numpy(values):
    column = np.array(values, np.int64)
    found, index = nsys_columns.distinct(column)
    expected, inverse = np.unique(column, return_inverse=True)
    assert (found.tolist(), index.tolist()) == (expected.tolist(), inverse.tolist())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1))))
def test_repeated_rows_are_those_seen_before(rows):
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] or [
        np.empty(0, np.int64)
    ]
    expected = [row in rows[:i] for i, row in enumerate(rows)]
    assert nsys_columns.repeated(columns).tolist() == expected
