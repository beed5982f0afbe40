"""The registry of formats: one record adds one, and each kind of path finds its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

import idlescope
from idlescope.errors import TraceError
from idlescope.trace import formats
from idlescope.trace.formats import Format
from idlescope.trace.metadata import Metadata
from idlescope.trace.open import open_trace
from idlescope.trace.scrub.copy import scrub
from tests.make.kineto_files import call, operation, write
from tests.make.nsys_files import Export
from tests.make.traces import trace


def read_toy(path, progress, frames):
    """A toy's lines are kernels: start and end, ns."""
    times = [tuple(map(int, line.split())) for line in path.read_text().splitlines()[1:]]
    made = trace([(start, end, 0, 0, 0, 0, 0, -1, 0, 0.0) for start, end in times])
    return replace(made, meta=Metadata(format="toy", path=str(path), events=len(times)))


def scrub_toy(source, target, result, progress):
    target.write_text(source.read_text().replace("zoltan", ""))
    result.remove("names", 1)


TOY = Format(
    name="toy",
    title="a toy's trace",
    recognises=lambda path, head: head.startswith(b"TOY"),
    read=read_toy,
    scrub=scrub_toy,
    how_to_record="toy --on",
    suffixes=(".toy",),
)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    monkeypatch.setattr(formats, "FORMATS", (TOY, *formats.FORMATS))
    path = tmp_path / "a.toy"
    path.write_text("TOY zoltan\n0 10\n20 30\n")
    return path


class TestOneRecordAddsAFormat:
    def test_it_is_opened_by_its_content(self, toy):
        assert open_trace(toy).operations.end.tolist() == [10, 30]
        other = toy.rename(toy.with_name("renamed.json"))
        (device,) = idlescope.analyze(open_trace(other)).results
        assert device.occupancy.idle_ns == 10

    def test_it_is_a_rank_among_others(self, toy, tmp_path):
        write(tmp_path / "b.json", [call(0, 10, 1), operation(20, 30, correlation=1)])
        ranks = open_trace(tmp_path)
        assert ranks.meta.format == "toy, kineto"
        assert len(ranks.operations) == 3

    def test_it_is_scrubbed(self, toy, tmp_path):
        scrub(toy, tmp_path / "copy.toy")
        assert "zoltan" not in (tmp_path / "copy.toy").read_text()

    def test_its_advice_is_given(self, toy):
        assert formats.how_to_record("toy") == "toy --on"


def test_each_path_has_the_format_that_it_holds(tmp_path):
    export = Export()
    export.kernel(0, 10)
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording" / "meta.json").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.nsys-rep").write_bytes(b"NVIDIA Tegra Profiler Report")
    titles = {
        write(tmp_path / "t.txt", [call(0, 10, 1)]): "a torch.profiler trace",
        export.sqlite(tmp_path / "e"): "an Nsight Systems export",
        export.parquet(tmp_path / "p"): "a folder of Parquet files",
        tmp_path / "x.nsys-rep": "an Nsight Systems report",
        tmp_path / "recording": "a recording, a folder",
    }
    for path, title in titles.items():
        found = formats.format_of(path)
        assert found is not None
        assert found.title == title
    assert formats.format_of(tmp_path / "empty") is None


def test_every_format_says_how_device_operations_are_recorded():
    assert all(known.how_to_record for known in formats.FORMATS)
    assert "ProfilerActivity.CUDA" in formats.how_to_record("kineto")
    assert "nsys profile" in formats.how_to_record("nsys")
    assert "ProfilerActivity.CUDA" in formats.how_to_record("memory")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "does not exist"), (b"", "is empty: was the profiler stopped")],
)
def test_nothing_is_no_trace(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(TraceError, match=rf"t\.json {reason}"):
        open_trace(tmp_path / "t.json")
