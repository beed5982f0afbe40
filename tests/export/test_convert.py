"""Traces keep their figures from format to format, and nothing is overwritten or left half done."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, assume, given, settings

import idlescope
from idlescope import RunConfig, run
from idlescope.errors import ConfigError, IdlescopeError, OutputExistsError, TraceError
from idlescope.export import convert as converting
from idlescope.export.convert import convert
from idlescope.export.nsys import writer as nsys_writer
from idlescope.trace.model import OperationKind, RangeKind
from idlescope.trace.recording import files
from tests.conftest import REAL_TRACES
from tests.make import perfetto_lint as lint
from tests.make import real_traces
from tests.make.kineto_files import call, operation, span, write
from tests.make.traces import any_trace, trace

WITHOUT_HOST = (
    "window_ns",
    "active_ns",
    "compute_ns",
    "copy_only_ns",
    "idle_ns",
    "gaps",
    "cause_ns",
    "operations",
)


@pytest.fixture
def kineto(tmp_path):
    """Two streams that overlap, a copy, a launch that is late and one that was never seen."""
    events = [
        span(0, 40_000, "step"), span(500, 3_000, "aten::mm", "cpu_op"), call(1_000, 2_000, 1),
        operation(5_000, 10_000, correlation=1), operation(8_000, 12_000, correlation=1, stream=8),
        operation(9_000, 14_000, correlation=1, stream=8), call(40_000, 42_000, 2, "cudaMemcpyAsync"),
        operation(45_000, 50_000, "memcpy", correlation=2, name="Memcpy DtoH (Device -> Pinned)"),
        operation(60_000, 65_000, "memset", name="Memset (Device)"),
    ]  # fmt: skip
    return write(tmp_path / "in.json", events)


def document_of(path):
    return idlescope.analyze(idlescope.open(path)).to_json()


def figures(path, document=None):
    """The figures of each device that do not depend on what the host did."""
    devices = (document or document_of(path))["devices"]
    return {(d["process"], d["device"]): {k: d[k] for k in WITHOUT_HOST} for d in devices}


def analysis(path, document=None):
    """What is said of a file, but for the profiler's share: a copy does not say who recorded it."""
    document = deepcopy(document or document_of(path))
    for device in document["devices"]:
        del device["observer"]
        (device["predicted"] or {}).pop("text", None)
    return {key: value for key, value in document.items() if key != "source"}


@pytest.mark.parametrize(
    "name", ["a.json", "a.json.gz", "A.JSON", "a.sqlite", "a.parquet", "a.recording", "a"]
)
def test_the_name_tells_the_format(kineto, tmp_path, name):
    target = tmp_path / "new folder" / name
    assert convert(kineto, target) == []
    assert target.is_dir() == (name in ("a.parquet", "a.recording", "a"))
    assert figures(target) == figures(kineto)
    assert [p.name for p in target.parent.iterdir()] == [name]


def test_there_and_back_again(kineto, tmp_path):
    path = kineto
    for name in ("1.recording", "2.json.gz", "3.sqlite", "4.json", "5.parquet"):
        convert(path, tmp_path / name)
        path = tmp_path / name
        assert (
            analysis(path)["devices"][0]["host_ns"]
            == analysis(kineto)["devices"][0]["host_ns"]
        )
        assert figures(path) == figures(kineto)


@pytest.mark.parametrize("real", REAL_TRACES, indirect=True)
def test_figures_and_causes_of_real_traces_survive(real, tmp_path):
    said = real_traces.document_of(real)
    convert(real, tmp_path / "a.recording")
    assert analysis(tmp_path / "a.recording") == analysis(real, said)
    convert(tmp_path / "a.recording", tmp_path / "a.sqlite")
    assert figures(tmp_path / "a.sqlite") == figures(real, said)
    convert(tmp_path / "a.sqlite", tmp_path / "a.json")
    assert lint.findings(lint.load(tmp_path / "a.json")) == []
    assert figures(tmp_path / "a.json") == figures(real, said)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(any_trace())
def test_figures_and_causes_of_any_trace_survive_nsight(tmp_path, made):
    # zeros are a missing time to whoever reads an export
    assume(len(made.operations))
    assume(all((t.start != 0).all() for t in (made.operations, made.calls, made.ranges)))
    (tmp_path / "t.sqlite").unlink(missing_ok=True)
    nsys_writer.write(made, tmp_path / "t.sqlite")
    got = idlescope.analyze(idlescope.open(tmp_path / "t.sqlite")).to_json()["devices"]
    expected = idlescope.analyze(made).to_json()["devices"]
    assert sorted(repr([d[k] for k in WITHOUT_HOST]) for d in got) == sorted(
        repr([d[k] for k in WITHOUT_HOST]) for d in expected
    )


def test_our_own_run_says_what_an_export_cannot_hold(tmp_path):
    ran = run(
        RunConfig(
            model="tiny",
            device="modelled",
            tokens=5,
            prompt_tokens=9,
            batch_size=2,
            host_ms=1.0,
        )
    )
    files.write(ran.modes["async"].trace, tmp_path / "r")
    notes = convert(tmp_path / "r", tmp_path / "r.sqlite")
    assert {note.split(" have no place in an Nsight export: ")[0] for note in notes} >= {
        "counters", "steps", "names of graph-level records", "FLOPs and bytes of compute operations", "names of streams"
    }  # fmt: skip
    (device,) = analysis(tmp_path / "r.sqlite")["devices"]
    (expected,) = ran.modes["async"].analysis.to_json()["devices"]
    assert {k: device[k] for k in ("name", *WITHOUT_HOST)} == {
        k: expected[k] for k in ("name", *WITHOUT_HOST)
    }
    assert {row["stream"] for row in device["streams"]} == {"1000", "1001", "1002"}


def test_an_export_has_the_tables_of_nsight_systems(tmp_path):
    range_, operator = int(RangeKind.ANNOTATION), int(RangeKind.OPERATOR)
    made = trace(
        [
            (10, 20, OperationKind.MEMCPY, 1, 2, 0, 5, -1, 64, 0.0),
            (30, 40, OperationKind.GRAPH, 0, 0, 0, 6, -1, 0, 0.0),
        ],
        [(1, 2, 2, 1, 5), (3, 4, 0, 1, 6)],
        [(0, 9, 0, 0, range_, -1), (5, 15, 0, 0, range_, -1), (6, 7, 0, 1, operator, -1)],
        meta={
            "lost": {"calls": 1},
            "warnings": ["calls were left out: 1, the first at byte 3"],
        },
    )
    nsys_writer.write(made, tmp_path / "t.sqlite")
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as database:

        def rows(query):
            return database.execute(query).fetchall()

        pid = (1 << 48) | (200 << 24)
        assert rows("SELECT start, end, deviceId, streamId, correlationId, globalPid, bytes, copyKind FROM "
                    "CUPTI_ACTIVITY_KIND_MEMCPY") == [(10, 20, 0, 1000, 5, pid, 64, 0)]  # fmt: skip
        assert rows(
            "SELECT globalTid & ~0xFFFFFF FROM CUPTI_ACTIVITY_KIND_RUNTIME WHERE correlationId = 5"
        ) == [(pid,)]
        assert rows("SELECT eventType, text, value FROM NVTX_EVENTS LEFT JOIN StringIds ON id = textId") == [
            (59, None, "k"), (60, None, "k"), (59, "aten::mm, op_id = 2", None)
        ]  # fmt: skip
        assert rows("SELECT pid, name FROM PROCESSES") == [(100, "100"), (200, "200")]
        assert rows("SELECT text FROM DIAGNOSTIC_EVENT") == [
            ("records were lost: calls were left out: 1, the first at byte 3",)
        ]
        tables = {name for (name,) in rows("SELECT name FROM sqlite_master")}
        assert "CUPTI_ACTIVITY_KIND_KERNEL" not in tables  # no rows, no table
    assert "records were lost" in idlescope.open(tmp_path / "t.sqlite").meta.dropped[0]


class TestManners:
    @pytest.mark.parametrize("name", ["a.csv", "a.json.zip", "a.nsys-rep"])
    def test_a_name_of_no_format_is_refused_with_the_choices(self, kineto, tmp_path, name):
        with pytest.raises(ConfigError, match=r"NAME\.json.*NAME\.sqlite.*NAME\.parquet"):
            convert(kineto, tmp_path / name)
        assert not (tmp_path / name).exists()

    @pytest.mark.parametrize("name", ["a.json", "a.sqlite", "a.recording"])
    def test_what_is_there_is_replaced_only_when_forced(self, kineto, tmp_path, name):
        target = tmp_path / name
        convert(kineto, target)
        other = write(tmp_path / "other.json", [operation(0, 7)])
        with pytest.raises(OutputExistsError, match="--force"):
            convert(other, target)
        assert figures(target) == figures(kineto)
        convert(other, target, force=True)
        assert [f["active_ns"] for f in figures(target).values()] == [7]

    def test_a_folder_of_other_things_is_never_replaced(self, kineto, tmp_path):
        mine = tmp_path / "mine"
        mine.mkdir()
        (mine / "thesis.txt").write_text("keep me")
        with pytest.raises(OutputExistsError, match="something other than a trace"):
            convert(kineto, mine, force=True)
        assert (mine / "thesis.txt").read_text() == "keep me"
        (tmp_path / "file").write_text("keep me")
        with pytest.raises(OutputExistsError, match="is a file"):
            convert(kineto, tmp_path / "file", force=True)
        (tmp_path / "folder.json").mkdir()
        with pytest.raises(OutputExistsError, match="is a folder"):
            convert(kineto, tmp_path / "folder.json", force=True)

    def test_the_trace_is_never_the_result(self, kineto, tmp_path):
        before = kineto.read_bytes()
        (tmp_path / "link.json").symlink_to(kineto)
        for target in (kineto, tmp_path / "link.json"):
            with pytest.raises(ConfigError, match="the trace itself"):
                convert(kineto, target, force=True)
        convert(kineto, tmp_path / "r")
        for source, target in (
            (tmp_path / "r", tmp_path / "r" / "a.json"),
            (kineto, tmp_path),
        ):
            with pytest.raises(ConfigError, match="within each other"):
                convert(source, target, force=True)
        assert kineto.read_bytes() == before

    @pytest.mark.parametrize("name", ["a.json.gz", "a.sqlite", "a.recording"])
    def test_an_interrupted_conversion_leaves_what_was_there(
        self, kineto, tmp_path, name, monkeypatch
    ):
        target = tmp_path / "out" / name
        convert(kineto, target)
        before = figures(target)

        def interrupted(made, path, *results):
            path.mkdir() if name.endswith("recording") else path.write_bytes(b"half")
            raise KeyboardInterrupt

        formats = tuple(each._replace(write=interrupted) for each in converting.FORMATS)
        monkeypatch.setattr(converting, "FORMATS", formats)
        with pytest.raises(KeyboardInterrupt):
            convert(kineto, target, force=True)
        assert [p.name for p in target.parent.iterdir()] == [name]
        assert figures(target) == before

    def test_a_place_that_cannot_be_written_is_one_sentence(self, kineto, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match="cannot be written"):
            convert(kineto, tmp_path / "file" / "a.json")

    def test_a_source_that_cannot_be_read_leaves_nothing(self, tmp_path):
        (tmp_path / "in.json").write_text("no json")
        with pytest.raises(TraceError, match="is not JSON"):
            convert(tmp_path / "in.json", tmp_path / "a.sqlite")
        with pytest.raises(IdlescopeError, match="does not exist"):
            convert(tmp_path / "none.json", tmp_path / "a.sqlite")
        assert [p.name for p in tmp_path.iterdir()] == ["in.json"]

    def test_what_reading_repaired_is_told(self, kineto, tmp_path):
        broken = kineto.read_text().replace('"name": "k"', '"name": "\\k"', 1)
        (tmp_path / "broken.json").write_text(broken)
        (note,) = convert(tmp_path / "broken.json", tmp_path / "a.recording")
        assert "backslashes" in note


def test_the_command_says_what_it_did(kineto, tmp_path, capsys):
    from idlescope.cli.actions.convert import convert_command

    convert_command(kineto, tmp_path / "a.json.gz", force=False)
    written, *following = capsys.readouterr().out.splitlines()
    assert written == str(tmp_path / "a.json.gz")
    assert any(line.startswith("next: idlescope ") for line in following)
