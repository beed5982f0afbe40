"""Hostile and damaged inputs of every kind that once broke a reader: figures, or one sentence."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest
from pyarrow import parquet

from idlescope.analysis.analyze import analyze
from idlescope.errors import ConfigError, TraceError
from idlescope.report.text import to_text
from idlescope.trace import parquet_files
from idlescope.trace.names import span_names, user_file
from idlescope.trace.nsys import reader
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files
from tests.make.kineto_files import call, document, operation, span, write
from tests.make.nsys_files import CALLS, KERNELS, NVTX, Export
from tests.trace.nsys.small_export import small


def kernels(count=50):
    export = Export()
    for number in range(count):
        export.kernel(1_000 + 20 * number, 1_010 + 20 * number)
    return export


def figures(path):
    analysis = analyze(open_trace(path))
    to_text(analysis.to_json())
    return [
        (len(result.operations), result.occupancy.active_ns) for result in analysis.results
    ]


class TestSqlite:
    def changed(self, tmp_path, *statements):
        path = kernels().sqlite(tmp_path / "e.sqlite")
        with closing(sqlite3.connect(path)) as database, database:
            for statement in statements:
                database.execute(statement)
        return path

    def test_a_view_that_never_ends_is_no_table(self, tmp_path):
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS start, i AS end FROM n"
        path = self.changed(
            tmp_path,
            f"CREATE VIEW {NVTX} AS {endless}",
            f"CREATE VIEW {CALLS} AS {endless}",
        )
        assert figures(path) == [(50, 500)]

    @pytest.mark.parametrize("name", ["rowid", "_rowid_", "OID"])
    def test_a_column_that_is_called_as_row_numbers_hides_no_row(self, tmp_path, name):
        path = self.changed(tmp_path, f"ALTER TABLE {KERNELS} ADD COLUMN {name} DEFAULT 7")
        assert figures(path) == [(50, 500)]

    def test_columns_that_hide_all_row_numbers_are_one_sentence(self, tmp_path):
        added = [
            f"ALTER TABLE {KERNELS} ADD COLUMN {name} DEFAULT 7"
            for name in ("rowid", "_rowid_", "oid")
        ]
        with pytest.raises(TraceError, match="hide the numbers of its rows"):
            open_trace(self.changed(tmp_path, *added))

    def test_a_row_with_the_smallest_number_is_read(self, tmp_path):
        path = self.changed(
            tmp_path,
            f"UPDATE {KERNELS} SET rowid = -9223372036854775808 WHERE rowid = 1",  # noqa: S608
        )
        assert figures(path) == [(50, 500)]

    def test_a_query_without_an_end_is_stopped(self, tmp_path, monkeypatch):
        from idlescope.trace.sqlite import guard as sqlite_guard

        monkeypatch.setattr(sqlite_guard, "LEAST_INSTRUCTIONS", 0)
        monkeypatch.setattr(sqlite_guard, "INSTRUCTIONS_PER_BYTE", 0)
        monkeypatch.setattr(sqlite_guard, "CHECK_EVERY", 10)
        with pytest.raises(TraceError, match="its tables have no end"):
            open_trace(kernels().sqlite(tmp_path / "e.sqlite"))

    def test_many_strings_are_looked_up_in_one_pass(self, tmp_path):
        export = Export()
        for number in range(2_000):
            export.kernel(10 * number, 10 * number + 5, name=f"kernel {number}")
        trace = reader.read(export.sqlite(tmp_path / "e.sqlite"))
        assert {f"kernel {number}" for number in range(2_000)} <= set(trace.names)


class TestParquet:
    @pytest.fixture
    def folder(self, tmp_path):
        return kernels().parquet(tmp_path / "export")

    def rewritten(self, path, change):
        table = parquet.read_table(path)
        parquet.write_table(change(table), path)

    def test_two_columns_of_one_name_are_one_sentence(self, folder):
        self.rewritten(
            folder / f"{KERNELS}.parquet",
            lambda table: table.append_column("start", table.column("start")),
        )
        with pytest.raises(TraceError, match="two columns called start"):
            open_trace(folder)

    @pytest.mark.parametrize(
        "values",
        [
            pa.array([None, None, None], pa.string()), pa.array([[1], [2], [3]]), pa.array([1.5, 2.5, 3.5]),
            pa.array([b"\xff\xfe", b"a", b"b"]), pa.array([{"a": 1}] * 3),
        ],
    )  # fmt: skip
    def test_strings_that_are_none_are_no_names(self, folder, values):
        path = folder / "StringIds.parquet"
        self.rewritten(
            path,
            lambda table: pa.table(
                {"id": table.column("id"), "value": values[: table.num_rows]}
            ),
        )
        assert figures(folder) == [(50, 500)]

    @pytest.mark.parametrize(
        "ids", [["a", "b", "c"], [1.5, 2.5, 3.5], [None, None, None], [2**63, 2**64 - 1, 0]]
    )
    def test_ids_of_strings_may_be_anything(self, folder, ids):
        column = pa.array(ids, pa.uint64() if 2**64 - 1 in ids else None)
        path = folder / "StringIds.parquet"
        self.rewritten(path, lambda table: table.set_column(0, "id", column))
        assert figures(folder) == [(50, 500)]

    def test_texts_of_ranges_may_be_lists(self, tmp_path):
        folder = small().parquet(tmp_path / "export")
        path = folder / f"{NVTX}.parquet"
        rows = parquet.read_metadata(path).num_rows
        self.rewritten(
            path,
            lambda table: table.set_column(
                table.schema.get_field_index("text"), "text", pa.array([[1]] * rows)
            ),
        )
        assert figures(folder)

    def test_millions_of_equal_rows_in_a_small_file_are_refused(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(parquet_files, "EXPANSION_CHECKED_FROM", 64 << 20)
        folder = tmp_path / "bomb"
        folder.mkdir()
        same = pa.array([7]).take(pa.array([0] * 3_000_000))
        columns = {"start": same, "end": same, "deviceId": same, "streamId": same}
        parquet.write_table(
            pa.table(columns), folder / f"{KERNELS}.parquet", compression="zstd"
        )
        with pytest.raises(TraceError, match="3,000,000 rows would take"):
            open_trace(folder)

    def test_times_that_no_clock_has_are_counted(self, folder):
        path = folder / f"{KERNELS}.parquet"
        far = pa.array([*range(1, 50), 2**62])
        self.rewritten(
            path,
            lambda table: table.set_column(table.schema.get_field_index("end"), "end", far),
        )
        assert open_trace(folder).meta.lost["operations"] >= 1


class TestRecordings:
    @pytest.fixture
    def recording(self, tmp_path):
        source = write(
            tmp_path / "a.json",
            [call(0, 5, 1), operation(10, 20, correlation=1), span(0, 30, "step")],
        )
        files.write(open_trace(source), tmp_path / "r")
        return tmp_path / "r"

    @pytest.mark.parametrize(
        ("entry", "value"),
        [
            ("names", [1, 2]), ("names", []), ("devices", None), ("devices", []), ("threads", [{"process": "x", "label": 1}]),
            ("threads", [{"process": 2**70, "label": "a"}]), ("devices", [{"process": 2**40, "index": 0}]), ("streams", "7"),
            ("schema", 99), ("schema", None),
        ],
    )  # fmt: skip
    def test_documents_that_cannot_be_are_one_sentence(self, recording, entry, value):
        path = recording / "meta.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
        with pytest.raises(TraceError):
            open_trace(recording)

    @pytest.mark.parametrize("entry", ["warnings", "lost", "events", "dropped", "rows"])
    @pytest.mark.parametrize("value", [5, "x", [1], {"a": []}, None])
    def test_metadata_of_other_types_changes_no_figure(self, recording, entry, value):
        path = recording / "meta.json"
        recorded = json.loads(path.read_text())
        recorded["meta"][entry] = value
        path.write_text(json.dumps(recorded))
        assert figures(recording) == [(1, 10)]

    def test_a_document_nested_deeply_is_one_sentence(self, recording):
        (recording / "meta.json").write_text("[" * 100_000)
        with pytest.raises(TraceError, match="not a whole recording"):
            open_trace(recording)

    def test_a_table_that_is_a_folder_is_one_sentence(self, recording):
        table = recording / "operations.parquet"
        content = table.read_bytes()
        table.unlink()
        table.mkdir()
        for name in ("1.parquet", "2.parquet"):
            (table / name).write_bytes(content)
        with pytest.raises(TraceError, match="is a folder"):
            open_trace(recording)


class TestRules:
    def engines(self, tmp_path, content):
        path = tmp_path / "phases.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return user_file.load(path)

    def phases(self, engines, *names):
        found = span_names.recognise(names, range(len(names)), engines)
        return [found.labels[code] if code >= 0 else "" for code in found.phase]

    @pytest.mark.parametrize("first", ["(?i)^MY", "(?P<n>m)", "^(m)y"])
    def test_each_rule_stands_alone(self, tmp_path, first):
        rules = [[first, "step"], ["(?i)(?P<n>p)REP", "prepare"], [r"^(s)a\1", "sample"]]
        assert self.phases(self.engines(tmp_path, {"e": rules}), "my loop", "prep", "sas", "other") == [
            "step", "prepare", "sample", "",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "content",
        [
            '{"e":' + "[" * 100_000,
            {"e": [["a{99999999999}", "step"]]},
            {"e": [["(", "step"]]},
            {"e": [["a"]]},
            "[]",
            {"e": 5},
        ],
    )
    def test_what_is_no_file_of_rules_is_one_sentence(self, tmp_path, content):
        with pytest.raises(ConfigError) as error:
            self.engines(tmp_path, content)
        assert len(str(error.value)) < 800

    def test_a_rule_that_would_take_years_is_stopped(self, tmp_path, monkeypatch):
        from idlescope.trace.names import user_rules

        engines = self.engines(tmp_path, {"e": [["^(a+)+$", "step"]]})
        assert self.phases(engines, "aaa") == ["step"]
        monkeypatch.setattr(user_rules, "DEADLINE_S", 1.0)
        with pytest.raises(ConfigError, match="a repeat within a repeat"):
            self.phases(engines, "a" * 60 + "!")


class TestCrowds:
    def test_a_gzip_file_of_many_members_is_read_as_one(self, tmp_path):
        text = (
            write(tmp_path / "a.json", [operation(0, 10), operation(20, 30)])
        ).read_bytes()
        members = b"".join(gzip.compress(text[at : at + 1], 1) for at in range(len(text)))
        (tmp_path / "b.json.gz").write_bytes(members)
        assert figures(tmp_path / "b.json.gz") == [(2, 20)]

    def test_streams_are_measured_in_one_pass(self, tmp_path):
        events = [
            operation(100 * n, 100 * n + 50 + 100 * (n % 3), stream=n % 700)
            for n in range(2_100)
        ]
        analysis = analyze(open_trace(write(tmp_path / "a.json", events)))
        streams = {stream["stream"]: stream for stream in analysis.results[0].streams}
        assert len(streams) == 700
        for number in (0, 1, 699):
            of_stream = [event for event in events if event["tid"] == number]
            expected = round(sum(1000 * event["dur"] for event in of_stream))
            assert streams[str(number)]["active_ns"] == expected
            assert streams[str(number)]["operations"] == 3

    def test_overlaps_are_searched_for_in_one_sort(self, tmp_path):
        events = [operation(100 * n, 100 * n + 50, stream=n) for n in range(3_000)]
        events.append(operation(0, 10_000_000, stream=3_000))
        events.append(operation(200, 400, stream=3_000))
        (result,) = analyze(open_trace(write(tmp_path / "a.json", events))).results
        assert "overlap" in result.verdict.text or result.occupancy.active_ns == 10_000_000

    def test_more_streams_than_there_are_anywhere_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr("idlescope.analysis.analyze.MOST_STREAMS", 5)
        events = [operation(10 * n, 10 * n + 5, stream=n) for n in range(6)]
        with pytest.raises(TraceError, match="holds 6 streams, more than any recording"):
            analyze(open_trace(write(tmp_path / "a.json", events)))

    def test_more_devices_than_there_are_anywhere_are_refused(self, tmp_path):
        events = [operation(10 * n, 10 * n + 5, device=n) for n in range(2_100)]
        with pytest.raises(
            TraceError, match="holds 2,100 devices, more than any recording"
        ):
            analyze(open_trace(write(tmp_path / "a.json", events)))

    def test_more_processes_than_there_are_anywhere_are_called_so(self, tmp_path):
        export = small()
        for number in range(2_100):
            export.kernel(10 * number, 10 * number + 5, pid=1_000 + number)
        path = export.sqlite(tmp_path / "e.sqlite")
        with pytest.raises(TraceError, match=r"holds 2,1\d\d processes with a device"):
            analyze(open_trace(path))

    def test_processes_whose_ids_collide_are_told_apart(self, tmp_path):
        events = []
        for pid in range(50):
            for device in (pid,):
                events.append(call(1_000 * pid, 1_000 * pid + 10, 5) | {"pid": 1_000 + pid})
                events.append(
                    operation(
                        1_000 * pid + 20, 1_000 * pid + 30, correlation=5, device=device
                    )
                )
        trace = open_trace(write(tmp_path / "a.json", events))
        assert [device.process_name for device in trace.devices] == [
            str(1_000 + pid) for pid in range(50)
        ]


def test_ranks_whose_clocks_are_no_time_are_not_brought_together(tmp_path):
    for name, base in (("a.json", 2**63 - 1), ("b.json", -(2**63))):
        events = [operation(0, 10), operation(20, 30)]
        text = json.dumps(document(events, baseTimeNanoseconds=base))
        (tmp_path / name).write_text(text)
    trace = open_trace(tmp_path)
    assert trace.meta.clocks_apart
    assert figures(tmp_path) == [(2, 20), (2, 20)]
