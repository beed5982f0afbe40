"""A result takes its place whole or not at all, and what is the user's stays."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from idlescope.errors import OutputExistsError
from idlescope.export import convert as converting
from idlescope.export.convert import convert
from idlescope.report import output_folder
from idlescope.trace import in_place
from tests.make.kineto_files import operation, write

REPORT = {"schema": 1, "source": {}, "devices": []}


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in.json", [operation(0, 10), operation(20, 30)])


def report(folder, text="new"):
    """Write what a report consists of."""
    (folder / "figures").mkdir()
    (folder / "figures" / "idle.png").write_text(text)
    (folder / "report.html").write_text(text)
    (folder / "analysis.json").write_text(json.dumps(REPORT))


def report_that_fails(folder, error):
    report(folder)
    raise error


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_text()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.fixture
def earlier(tmp_path):
    with output_folder.written(tmp_path / "out", force=False) as draft:
        report(draft.folder, "old")
    return tmp_path / "out"


class TestFoldersOfTheUser:
    @pytest.mark.parametrize(
        "inner", ["a.parquet", "sub/a.parquet", "meta.json", "operations.parquet"]
    )
    def test_a_folder_that_is_no_recording_of_ours_is_never_replaced(
        self, source, tmp_path, inner
    ):
        kept = tmp_path / "mine" / inner
        kept.parent.mkdir(parents=True)
        kept.write_text("mine")
        with pytest.raises(OutputExistsError, match="something other than a trace"):
            convert(source, tmp_path / "mine", force=True)
        assert kept.read_text() == "mine"

    def test_nor_a_recording_beside_which_anything_lies(self, source, tmp_path):
        convert(source, tmp_path / "r")
        (tmp_path / "r" / "notes.txt").write_text("mine")
        with pytest.raises(OutputExistsError, match="something other than a trace"):
            convert(source, tmp_path / "r", force=True)

    def test_of_a_link_what_it_leads_to_is_replaced(self, source, tmp_path):
        convert(source, tmp_path / "real")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        convert(source, tmp_path / "link", force=True)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "meta.json").is_file()

    def test_files_beside_a_report_stay(self, earlier):
        (earlier / "notes.md").write_text("mine")
        (earlier / "figures" / "mine.png").write_text("mine")
        with output_folder.written(earlier, force=True) as draft:
            report(draft.folder)
        found = contents(earlier)
        assert (found["notes.md"], found["figures/mine.png"], found["report.html"]) == (
            "mine",
            "mine",
            "new",
        )


class TestWhole:
    @pytest.mark.parametrize(
        "error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")]
    )
    def test_what_fails_leaves_the_earlier_result(self, earlier, error):
        before = contents(earlier)
        with (
            pytest.raises(type(error) if isinstance(error, OSError) else error),
            output_folder.written(earlier, force=True) as draft,
        ):
            report_that_fails(draft.folder, error)
        assert contents(earlier) == before
        assert [path.name for path in earlier.parent.iterdir()] == ["out"]

    def test_a_replaced_report_has_nothing_of_the_earlier_one(self, earlier):
        (earlier / "figures" / "cost.png").write_text("old")
        with output_folder.written(earlier, force=True) as draft:
            report(draft.folder)
        assert "figures/cost.png" not in contents(earlier)

    def test_ctrl_c_says_that_the_earlier_result_is_there(self, earlier):
        with (
            pytest.raises(KeyboardInterrupt, match="is as it was before"),
            output_folder.written(earlier, force=True),
        ):
            raise KeyboardInterrupt

    def test_without_an_exchange_in_one_step_the_result_is_the_same(
        self, earlier, monkeypatch
    ):
        monkeypatch.setattr(in_place, "exchange", lambda *_: False)
        with output_folder.written(earlier, force=True) as draft:
            report(draft.folder)
        assert contents(earlier)["report.html"] == "new"
        assert [path.name for path in earlier.parent.iterdir()] == ["out"]

    def test_the_folder_that_one_stands_in_stays_the_same_one(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        before = os.stat(".").st_ino
        with output_folder.written(tmp_path, force=False) as draft:
            report(draft.folder)
        assert os.stat(".").st_ino == before == tmp_path.stat().st_ino
        assert contents(tmp_path)["report.html"] == "new"

    def test_a_long_name_is_no_trouble(self, source, tmp_path):
        convert(source, tmp_path / f"{'a' * 240}.json.gz")
        assert (tmp_path / f"{'a' * 240}.json.gz").is_file()

    def test_a_conversion_does_not_replace_what_was_written_meanwhile(
        self, source, tmp_path, monkeypatch
    ):
        target = tmp_path / "a.json"
        formats = tuple(
            each._replace(
                write=lambda made, path, write=each.write: (
                    write(made, path),
                    target.write_text("other"),
                )
            )
            for each in converting.FORMATS
        )
        monkeypatch.setattr(converting, "FORMATS", formats)
        with pytest.raises(OutputExistsError):
            convert(source, target)
        assert target.read_text() == "other"


def test_the_second_writer_of_a_folder_is_told(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom idlescope.report import output_folder\n"
        "with output_folder.written(Path(sys.argv[1]), force=True):\n    print('in', flush=True)\n    sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "out")]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"in\n"
        with (
            pytest.raises(OutputExistsError, match="written by another idlescope"),
            output_folder.written(tmp_path / "out", force=True),
        ):
            pytest.fail("both write")
    finally:
        other.communicate(b"")
