"""A scrubbed copy is made beside the trace, in the trace's own format, or not at all."""

from __future__ import annotations

import json

import pytest

from idlescope.errors import ConfigError, OutputExistsError, TraceError
from idlescope.trace.recording import files
from idlescope.trace.scrub.copy import scrub
from idlescope.trace.scrub.counts import Kept
from tests.make.kineto_files import document, operation, write
from tests.make.secrets import figures, kineto_events, kineto_metadata, nsight_export
from tests.make.traces import trace


class TestManners:
    def test_the_trace_itself_is_never_the_target(self, tmp_path):
        source = tmp_path / "in.json"
        source.write_text(json.dumps(document([operation(0, 10)])))
        with pytest.raises(ConfigError, match="the trace itself"):
            scrub(source, source, force=True)

    def test_what_is_there_is_replaced_only_when_forced(self, tmp_path):
        source, target = tmp_path / "in.json", tmp_path / "out.json"
        source.write_text(json.dumps(document([operation(0, 10)])))
        target.write_text("mine")
        with pytest.raises(OutputExistsError, match="--force"):
            scrub(source, target)
        assert target.read_text() == "mine"
        scrub(source, target, force=True)
        assert figures(target) == figures(source)

    @pytest.mark.parametrize(
        "make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("no json")]
    )
    def test_what_is_no_trace_is_one_sentence_and_leaves_nothing(self, tmp_path, make):
        make(tmp_path / "in")
        with pytest.raises(TraceError, match="in"):
            scrub(tmp_path / "in", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_the_command_prints_what_was_removed(self, tmp_path, capsys):
        from idlescope.cli.actions.scrub import scrub_command

        (tmp_path / "in.json").write_text(
            json.dumps(document(kineto_events(), **kineto_metadata()))
        )
        scrub_command(tmp_path / "in.json", tmp_path / "out.json", force=False)
        printed = capsys.readouterr().out
        assert "removed names and labels of processes: 2" in printed
        assert "look through them" in printed


def test_a_report_is_exported_first(tmp_path):
    path = tmp_path / "x.nsys-rep"
    path.write_bytes(b"NVIDIA Tegra Profiler Report")
    with pytest.raises(
        TraceError, match=r"run `nsys export --type sqlite --output .*x\.sqlite"
    ):
        scrub(path, tmp_path / "y.nsys-rep")
    assert [p.name for p in tmp_path.iterdir()] == ["x.nsys-rep"]


class TestFormats:
    """The copy has the trace's own format, so a name of another format is refused."""

    @pytest.mark.parametrize("suffix", [".sqlite", ".nsys-rep", ".parquet"])
    def test_a_kineto_trace_becomes_no_other_file(self, tmp_path, suffix):
        source = tmp_path / "in.json.gz"
        write(source, [operation(0, 10)])
        with pytest.raises(ConfigError, match=r"a name that ends in \.json or \.json\.gz"):
            scrub(source, tmp_path / f"out{suffix}")
        assert [path.name for path in tmp_path.iterdir()] == ["in.json.gz"]

    @pytest.mark.parametrize("suffix", [".json", ".json.gz"])
    def test_an_export_becomes_no_json(self, tmp_path, suffix):
        source = nsight_export(tmp_path / "in.sqlite")
        with pytest.raises(ConfigError, match=r"a name that ends in \.sqlite"):
            scrub(source, tmp_path / f"out{suffix}")

    def test_a_recording_becomes_no_file(self, tmp_path):
        files.write(trace([(0, 10, 0, 0, 0, 0, 0, -1, 0, 0.0)]), tmp_path / "in")
        with pytest.raises(ConfigError, match="the name of a folder"):
            scrub(tmp_path / "in", tmp_path / "out.json")

    def test_other_suffixes_are_the_users_own(self, tmp_path):
        write(tmp_path / "in.json", [operation(0, 10)])
        scrub(tmp_path / "in.json", tmp_path / "out.v2")
        assert figures(tmp_path / "out.v2") == figures(tmp_path / "in.json")


class TestNamesThatPeopleGive:
    EVENTS = (
        {"ph": "M", "name": "thread_name", "pid": 50, "tid": 100, "args": {"name": "alice's worker"}},
        {"ph": "M", "name": "thread_name", "pid": 50, "tid": 101, "args": {"name": "thread 101 (python)"}},
        {"ph": "i", "cat": "cpu_instant_event", "name": "customer 4711", "pid": 50, "tid": 100, "ts": 1.0, "s": "t"},
    )  # fmt: skip

    def scrubbed(self, tmp_path, *options):
        source = write(
            tmp_path / "in.json", [operation(0, 10), operation(20, 30), *self.EVENTS]
        )
        target = tmp_path / "out.json"
        return target, scrub(source, target, True, None, *options)

    def test_are_left_out(self, tmp_path):
        target, result = self.scrubbed(tmp_path)
        text = target.read_text()
        assert "alice" not in text
        assert "4711" not in text
        assert "thread 101 (python)" in text
        assert {"removed names of threads: 1", "removed names of instants: 1"} <= set(
            result.lines()
        )

    def test_unless_they_are_to_be_kept(self, tmp_path):
        target, result = self.scrubbed(tmp_path, Kept(threads=True, instants=True))
        text = target.read_text()
        assert "alice's worker" in text
        assert "customer 4711" in text
        assert "kept the names of threads, as asked" in result.lines()
