"""RPD files: every record, its launch, and figures equal to the truth; damage is told."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from idlescope.errors import TraceError
from idlescope.trace.model import RangeKind
from idlescope.trace.open import open_trace
from tests.fuzz.reference import union
from tests.make import rpd_files
from tests.make.known_work import (
    BASE,
    Call,
    Known,
    Span,
    Work,
    assert_figures,
    assert_holds,
    steps,
)
from tests.shared_formats import real


def changed(path, *statements):
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
    return path


class TestWhatItHolds:
    @pytest.mark.parametrize("devices", [1, 2])
    def test_every_record_and_figure_is_that_of_the_program(self, tmp_path, devices):
        known = steps(devices=devices)
        trace = open_trace(rpd_files.write(tmp_path / "a.rpd", known))
        assert trace.meta.format == "rpd"
        assert not trace.meta.warnings
        assert_holds(trace, known)

    def test_kernels_of_one_graph_launch_share_its_call(self, tmp_path):
        known = Known(
            work=[Work(BASE + 100 * n, BASE + 100 * n + 60, 5, f"k{n}") for n in range(4)],
            calls=[Call(BASE - 500, BASE - 400, 5, "hipGraphLaunch")],
        )
        assert_holds(open_trace(rpd_files.write(tmp_path / "a.rpd", known)), known)

    def test_barriers_are_no_work_and_the_tracer_is_overhead(self, tmp_path):
        known = steps()
        known.spans.append(Span(BASE, BASE + 50, "OpTable::writeRows", RangeKind.OVERHEAD))
        path = rpd_files.write(tmp_path / "a.rpd", steps())
        changed(
            path,
            "INSERT INTO rocpd_string VALUES (901, 'Barrier'), (902, 'OpTable::writeRows')",
            "INSERT INTO rocpd_op (gpuId, queueId, sequenceId, completionSignal, start, end, description_id, opType_id)"  # noqa: S608
            f" VALUES (0, 1, 0, '', {BASE}, {BASE + 10**9}, 1, 901)",
            f"INSERT INTO rocpd_api VALUES (77, 1560, 51, {BASE}, {BASE + 50}, 902, 1)",  # noqa: S608
        )
        assert_holds(open_trace(path), known)

    def test_each_process_has_its_own_devices(self, tmp_path):
        path = rpd_files.write(tmp_path / "a.rpd", steps(), pid=10)
        other = steps(base=BASE + 1_000)
        with closing(sqlite3.connect(path)) as database, database:
            rpd_files.add(database, other, pid=20)
        trace = open_trace(path)
        assert [device.process_name for device in trace.devices] == ["10", "20"]
        assert len(trace.operations) == 2 * len(other.work)

    def test_without_frames_operators_are_left_out(self, tmp_path):
        path = rpd_files.write(tmp_path / "a.rpd", steps())
        kinds = open_trace(path, frames=False).ranges.kind
        assert set(kinds.tolist()) == {int(RangeKind.ANNOTATION)}

    def test_work_without_a_call_is_unattributed(self, tmp_path):
        known = Known(
            work=[Work(BASE, BASE + 10, 0, "a"), Work(BASE + 90, BASE + 99, 0, "b")]
        )
        assert_figures(open_trace(rpd_files.write(tmp_path / "a.rpd", known)), known)


class TestDamage:
    def test_times_that_cannot_be_true_are_left_out_and_counted(self, tmp_path):
        path = rpd_files.write(tmp_path / "a.rpd", steps())
        changed(
            path,
            "UPDATE rocpd_op SET end = start - 5 WHERE id = 3",
            "UPDATE rocpd_op SET start = 9e18 WHERE id = 4",
            "UPDATE rocpd_op SET start = 'x' WHERE id = 5",
            "UPDATE rocpd_api SET end = end + 1000000000000000 WHERE rowid = (SELECT min(rowid) FROM rocpd_api)",
        )
        trace = open_trace(path)
        assert trace.meta.lost == {"operations": 3, "calls": 1}
        assert any("rocpd_op row 3" in warning for warning in trace.meta.warnings)

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_a_file_that_is_cut_short_is_one_sentence(self, tmp_path, share):
        path = rpd_files.write(tmp_path / "a.rpd", steps(200))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(TraceError, match=r"not a whole SQLite database"):
            open_trace(path)

    def test_a_file_without_records_says_how_to_record(self, tmp_path):
        path = rpd_files.write(tmp_path / "a.rpd", Known())
        with pytest.raises(
            TraceError, match=r"holds no operations and no calls: record again with"
        ):
            open_trace(path)

    def test_missing_columns_are_missing_values(self, tmp_path):
        path = rpd_files.write(tmp_path / "a.rpd", steps())
        changed(
            path,
            "ALTER TABLE rocpd_op RENAME COLUMN queueId TO x",
            "DROP TABLE rocpd_copyapi",
        )
        trace = open_trace(path)
        assert set(trace.streams) == {"queue 0"}
        assert not trace.operations.bytes.any()


def test_nothing_is_written(tmp_path):
    path = rpd_files.write(tmp_path / "a.rpd", steps())
    before = path.read_bytes(), path.stat().st_mtime_ns, os.listdir(tmp_path)
    open_trace(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("name", "operations", "linked"),
    [("rpd_matmul_result.rpd", 85, 85), ("rpd_mytrace.rpd.gz", 10_124, 10_124)],
)
def test_a_real_file_has_the_figures_of_a_brute_force_count(
    tmp_path, name, operations, linked
):
    import gzip

    from idlescope.analysis.analyze import analyze

    path = real(name)
    trace = open_trace(path)
    content = path.read_bytes()
    copy = tmp_path / "copy.rpd"
    copy.write_bytes(gzip.decompress(content) if name.endswith(".gz") else content)
    with closing(sqlite3.connect(copy)) as database:
        spans = database.execute("SELECT start, end FROM rocpd_op").fetchall()
    (result,) = analyze(trace).results
    assert result.occupancy.active_ns == union(spans)
    assert len(trace.operations) == operations
    assert result.coverage.linked_pct == 100 * linked / operations
