"""rocprofv3's results, rocpd of two ages and JSON: the same program gives the same trace; damage is told."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.model import RangeKind
from idlescope.trace.open import open_trace
from tests.fuzz.reference import union
from tests.make import perfetto_files, rocprof_files
from tests.make.known_work import (
    BASE,
    Known,
    Span,
    Work,
    assert_figures,
    assert_holds,
    steps,
)
from tests.make.rocprof_files import FILL, UUID
from tests.shared_formats import real


def program(**options):
    return steps(fill=FILL, **options)


def old(path, known):
    return rocprof_files.rocpd(path / "1_results.db", known)


def new(path, known):
    return rocprof_files.rocpd(path / "1_results.db", known, newer=True)


def as_json(path, known):
    return rocprof_files.json_file(path / "1_results.json", rocprof_files.document(known))


WRITERS = {"rocpd 3": old, "rocpd 4": new, "JSON": as_json}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


class TestWhatItHolds:
    @pytest.mark.parametrize("devices", [1, 2])
    def test_every_record_and_figure_is_that_of_the_program(self, tmp_path, write, devices):
        known = program(devices=devices)
        trace = open_trace(write(tmp_path, known))
        assert trace.meta.format == "rocprof"
        assert not trace.meta.warnings
        assert {device.name for device in trace.devices} == {"AMD Instinct MI300X"}
        assert all(device.identity for device in trace.devices)
        assert_holds(trace, known)

    def test_a_recording_of_kernels_alone_says_that_it_cannot_tell_why(
        self, tmp_path, write
    ):
        known = program()
        known.calls.clear()
        trace = open_trace(write(tmp_path, known))
        (note,) = trace.meta.warnings
        assert "--runtime-trace" in note
        assert_figures(trace, known)
        (result,) = idlescope.analyze(trace).results
        assert result.verdict.kind == "cannot tell"

    def test_without_frames_operators_are_left_out(self, tmp_path, write):
        kinds = open_trace(write(tmp_path, program()), frames=False).ranges.kind
        assert set(kinds.tolist()) == {int(RangeKind.ANNOTATION)}

    def test_the_runtime_s_own_copy_kernel_is_a_copy(self, tmp_path, write):
        known = Known(work=[Work(BASE, BASE + 10, 0, "__amd_rocclr_copyBuffer")])
        (kind,) = open_trace(write(tmp_path, known)).operations.kind
        assert kind == 1

    def test_torch_s_own_ranges_lose_their_prefix(self, tmp_path, write):
        known = program()
        known.spans.append(Span(BASE, BASE + 5, "record_function:forward"))
        trace = open_trace(write(tmp_path, known))
        assert "forward" in {trace.names[name] for name in trace.ranges.name}


class TestMergedDatabases:
    def test_the_tables_of_each_process_are_read(self, tmp_path):
        known, other = program(), program(base=BASE + 500)
        path = rocprof_files.rocpd(tmp_path / "m.db", known, pid=11)
        rocprof_files.rocpd(path, other, pid=12, uuid="_ffff")
        trace = open_trace(path)
        assert len(trace.operations) == 2 * len(known.work)
        assert [device.process_name.split()[0] for device in trace.devices] == ["11", "12"]
        for result in idlescope.analyze(trace).results:
            assert result.occupancy.idle_ns == known.idle(0)
            assert result.coverage.linked_pct == 100

    def test_a_view_under_a_table_s_name_is_not_run(self, tmp_path):
        path = old(tmp_path, program())
        table = f"rocpd_kernel_dispatch{UUID}"
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(f"ALTER TABLE `{table}` RENAME TO kept")
            database.execute(
                f"CREATE VIEW `{table}` AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "  # noqa: S608
                "SELECT x AS start, x AS end FROM n"
            )
        assert not open_trace(path).operations.kind.tolist().count(0)


class TestDamage:
    @pytest.mark.parametrize("newer", [False, True])
    def test_times_that_cannot_be_true_are_left_out_and_counted(self, tmp_path, newer):
        path = (new if newer else old)(tmp_path, program())
        where = "timestamp" if newer else "kernel_dispatch"
        change = "value = -5 WHERE id = 100" if newer else "start = 1 << 62 WHERE id = 2"
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(f"UPDATE `rocpd_{where}{UUID}` SET {change}")  # noqa: S608
        trace = open_trace(path)
        assert sum(trace.meta.lost.values()) == 1

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_a_file_that_is_cut_short_is_one_sentence(self, tmp_path, write, share):
        path = write(tmp_path, program(count=150))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(
            TraceError, match=r"not a whole SQLite database|is damaged .*rocprofv3"
        ):
            open_trace(path)

    def test_a_file_without_records_says_how_to_record(self, tmp_path, write):
        with pytest.raises(
            TraceError,
            match=r"holds no kernels, copies or calls: record again with .rocprofv3",
        ):
            open_trace(write(tmp_path, Known()))

    def test_a_time_beyond_int64_is_left_out(self, tmp_path):
        document = rocprof_files.document(program())
        document["buffer_records"]["kernel_dispatch"][3]["end_timestamp"] = 2**63 - 1
        trace = open_trace(rocprof_files.json_file(tmp_path / "a.json", document))
        assert trace.meta.lost == {"operations": 1}

    @pytest.mark.parametrize("value", ["x", None, 2**70, [1], 1.5])
    def test_a_value_of_another_type_is_one_sentence_with_its_place(self, tmp_path, value):
        document = rocprof_files.document(program())
        document["buffer_records"]["hip_api"][1]["start_timestamp"] = value
        with pytest.raises(TraceError, match=r"is damaged \(.*hip_api"):
            open_trace(rocprof_files.json_file(tmp_path / "a.json", document))

    def test_kinds_and_operations_that_nobody_knows_are_unnamed(self, tmp_path):
        document = rocprof_files.document(program())
        document["strings"]["buffer_records"] = []
        document["kernel_symbols"] = []
        trace = open_trace(rocprof_files.json_file(tmp_path / "a.json", document))
        assert {trace.names[name] for name in trace.operations.name} == {"kernel", "Memcpy"}


def test_nothing_is_written(tmp_path, write):
    path = write(tmp_path, program())
    before = path.read_bytes(), path.stat().st_mtime_ns, os.listdir(tmp_path)
    open_trace(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, os.listdir(tmp_path)) == before


def test_forms_of_one_result_in_a_folder_are_one_rank(tmp_path):
    known = program()
    old(tmp_path, known)
    as_json(tmp_path, known)
    (tmp_path / "1_results.pftrace").write_bytes(perfetto_files.rocprof(known))
    assert len(open_trace(tmp_path).operations) == len(known.work)
    assert not open_trace(tmp_path).meta.warnings


def test_a_real_file_has_the_figures_of_a_brute_force_count():
    import gzip

    path = real("tl_rocprof_908_results.json.gz")
    (process,) = json.loads(gzip.decompress(path.read_bytes()))["rocprofiler-sdk-tool"]
    kernels = process["buffer_records"]["kernel_dispatch"]
    spans = [(kernel["start_timestamp"], kernel["end_timestamp"]) for kernel in kernels]
    (result,) = idlescope.analyze(open_trace(path)).results
    assert result.occupancy.active_ns == union(spans)
    assert result.device.name == "AMD Instinct MI350X"
