"""A line per commit, written whole; damage is counted; nothing else is overwritten."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

import idlescope
from idlescope.analysis.history import file
from idlescope.analysis.history.commit import UNKNOWN, commit_here
from idlescope.analysis.history.line import Line, line_of
from idlescope.errors import ConfigError, OutputExistsError
from tests.conftest import FIXTURES

EMPTY = Line(1, "abc", "2026-11-29T00:00:00+00:00", "0.1.0", {})


def test_the_line_of_a_trace_has_its_figures():
    analysis = idlescope.analyze(idlescope.open(FIXTURES / "loop_sync.json.gz"))
    line = line_of("abc", {"": analysis}, datetime(2026, 11, 29, tzinfo=timezone.utc))
    ((subject, point),) = line.points.items()
    (result,) = analysis.results
    assert subject.startswith("device 0 ")
    assert point.idle_ms_per_step == pytest.approx(
        result.occupancy.idle_ns / len(result.steps) / 1e6
    )
    assert line.time == "2026-11-29T00:00:00+00:00"
    assert msgspec.json.decode(msgspec.json.encode(line), type=Line) == line


def test_lines_are_added_at_the_end(tmp_path):
    path = tmp_path / "new" / "history.jsonl"
    for number in range(3):
        history = file.append(path, msgspec.structs.replace(EMPTY, commit=str(number)))
        assert len(history.lines) == number + 1
    assert [line.commit for line in file.read(path).lines] == ["0", "1", "2"]
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize(
    "damage",
    [
        b'{"schema": 1, "commit": "cut',
        b"\xff\xfe\x00",
        b"[" * 9_000,
        b'{"schema": 99}',
        b"null",
    ],
)
def test_damaged_lines_are_counted_and_cost_no_other(tmp_path, damage):
    path = tmp_path / "history.jsonl"
    file.append(path, EMPTY)
    with path.open("ab") as opened:
        opened.write(damage)
    history = file.append(path, EMPTY)
    assert (len(history.lines), history.damaged, history.first_damaged) == (2, 1, 2)
    assert file.read(path) == history


def test_a_file_that_is_no_history_stays_as_it_is(tmp_path):
    path = tmp_path / "trace.json"
    path.write_text("{}\n")
    with pytest.raises(OutputExistsError, match="holds no history of idlescope"):
        file.append(path, EMPTY)
    assert path.read_text() == "{}\n"
    with pytest.raises(ConfigError, match="cannot be a history"):
        file.append(tmp_path, EMPTY)


def test_a_full_disk_adds_nothing(tmp_path, monkeypatch):
    path = tmp_path / "history.jsonl"
    file.append(path, EMPTY)
    before = path.read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file.os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        file.append(path, EMPTY)
    assert path.read_bytes() == before


def test_writers_at_once_lose_no_line(tmp_path):
    path = tmp_path / "history.jsonl"
    program = (
        "from pathlib import Path\nfrom idlescope.analysis.history import file\n"
        "from idlescope.analysis.history.line import Line\n"
        f"[file.append(Path({str(path)!r}), Line(1, 'c' * 40, 't', 'v', {{}})) for _ in range(40)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    history = file.read(path)
    assert (len(history.lines), history.damaged) == (120, 0)


def test_the_commit_is_cis_else_the_repositorys(tmp_path):
    assert commit_here({"GITHUB_SHA": "f00"}, tmp_path) == "f00"
    assert commit_here({}, tmp_path) == UNKNOWN
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n")
    assert commit_here({}, tmp_path) == "a" * 40
    (git / "refs" / "heads" / "main").write_text(f"{'b' * 40}\n")
    (tmp_path / "deep").mkdir()
    assert commit_here({}, tmp_path / "deep") == "b" * 40
    (git / "HEAD").write_text("c" * 40)
    assert commit_here({}, tmp_path) == "c" * 40


def test_the_commit_of_a_real_repository(tmp_path):
    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        result = subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return result.stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "x")
    git("worktree", "add", "-q", "side")
    assert commit_here({}, tmp_path) == git("rev-parse", "HEAD")
    assert commit_here({}, Path(tmp_path / "side")) == git("rev-parse", "HEAD")
