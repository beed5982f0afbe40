from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from idlescope.errors import TraceError
from idlescope.trace.nsys import recognise, report_file
from tests.make.nsys_files import Export

MAGIC = b"NVIDIA Tegra Profiler Report 2023@4@4@54"[:16]


@pytest.fixture
def report(tmp_path) -> Path:
    path = tmp_path / "a run.nsys-rep"
    path.write_bytes(MAGIC)
    return path


@pytest.fixture
def nsys(tmp_path, monkeypatch):
    """Put an `nsys` on PATH that does what a line of Python says with its arguments."""

    def install(line: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        tool, log = folder / "nsys", tmp_path / "arguments"
        note = f"open({str(log)!r}, 'w').write('\\n'.join(sys.argv[1:]))"
        code = f"#!{sys.executable}\nimport shutil, sys\n{note}\n{line}\n"
        tool.write_text(code)
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return log

    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return install


def test_a_report_is_told_by_its_content_or_by_its_name():
    assert recognise.is_report(Path("x"), MAGIC)
    assert recognise.is_report(Path("x.nsys-rep"), b"")
    assert recognise.is_report(Path("x.qdrep"), b"other")
    assert not recognise.is_report(Path("x.sqlite"), b"SQLite format 3\x00")


def test_the_command_is_one_that_a_shell_runs():
    assert shlex.split(report_file.export_command(Path("/runs/it's a.nsys-rep"))) == [
        "nsys", "export", "--type", "sqlite", "--output", "/runs/it's a.sqlite",
        "/runs/it's a.nsys-rep",
    ]  # fmt: skip
    assert "./-x.nsys-rep" in report_file.export_command(Path("-x.nsys-rep"))


@pytest.mark.usefixtures("nsys")
def test_without_nsys_the_command_is_told(report):
    with pytest.raises(
        TraceError, match="nsys is not on PATH: run `nsys export --type sqlite"
    ):
        report_file.open_report(report)


def test_nsys_exports_to_a_folder_of_its_own_which_is_gone_afterwards(
    report, nsys, tmp_path
):
    export = Export()
    export.kernel(10, 20)
    made = export.sqlite(tmp_path / "made.sqlite")
    log = nsys(f"shutil.copy({str(made)!r}, sys.argv[-2])")
    before = os.listdir(tmp_path)
    seen: list[int] = []
    trace = report_file.open_report(report, progress=seen.append, frames=False)
    assert (trace.operations.end.tolist(), trace.meta.path, seen[-1]) == (
        [20],
        str(report),
        1,
    )
    *_, output, source = log.read_text().splitlines()
    assert (source, Path(output).parent.exists()) == (str(report), False)
    assert set(os.listdir(tmp_path)) == {*before, "arguments"}


@pytest.mark.parametrize(
    ("line", "last"),
    [
        (
            "sys.exit('Importing...\\nThe report was made by a newer version.')",
            r"The report was made by a newer version\.",
        ),
        ("pass", "it said nothing"),
    ],
)
def test_where_nsys_fails_its_last_words_are_told(report, nsys, line, last):
    nsys(line)
    with pytest.raises(
        TraceError, match=rf"nsys could not export .*\({last}\): run `nsys export"
    ):
        report_file.open_report(report)


def test_an_export_that_cannot_be_read_is_told_of_the_report(report, nsys):
    nsys("open(sys.argv[-2], 'w').write('no database')")
    with pytest.raises(TraceError, match=r"a run\.nsys-rep is not a whole SQLite database"):
        report_file.open_report(report)


def test_an_nsys_that_cannot_be_run_is_told(report, nsys):
    log = nsys("pass")
    (log.parent / "bin" / "nsys").write_text("#!/nothing\n")
    with pytest.raises(TraceError, match="nsys could not export"):
        report_file.open_report(report)
