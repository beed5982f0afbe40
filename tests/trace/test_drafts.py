"""Drafts of killed writers go, those of living ones and what is the user's stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from idlescope.export.convert import convert
from idlescope.report import output_folder
from idlescope.trace import drafts
from tests.make.kineto_files import operation, write

WRITER = """
import sys
from pathlib import Path
from idlescope.trace import drafts
with drafts.held(Path(sys.argv[1])) as draft:
    (draft / "half").write_text("a")
    print(draft.name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """Yield a process that is writing a draft, and the draft."""
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process, tmp_path / process.stdout.readline().decode().strip()
    process.communicate()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_the_draft_of_a_killed_writer_goes_with_the_next(writer, tmp_path):
    process, draft = writer
    kill(process)
    assert (draft / "half").exists()
    with drafts.held(tmp_path) as own:
        assert [path.name for path in tmp_path.iterdir()] == [own.name]
    assert not any(tmp_path.iterdir())


def test_that_of_a_living_one_stays(writer, tmp_path):
    with drafts.held(tmp_path):
        pass
    assert (writer[1] / "half").read_text() == "a"


@pytest.mark.parametrize("write_again", ["file", "folder", "inside"])
def test_every_kind_of_writer_tidies_up(writer, tmp_path, write_again, monkeypatch):
    process, draft = writer
    kill(process)
    if write_again == "file":
        convert(write(tmp_path / "in.json", [operation(0, 10)]), tmp_path / "out.json")
    elif write_again == "folder":
        with output_folder.written(tmp_path / "out", force=False):
            pass
    else:
        with output_folder.added(tmp_path):
            pass
    assert not draft.exists()


def test_a_lock_is_believed_even_where_the_writer_is_not_seen(
    writer, tmp_path, monkeypatch
):
    """As from another container, whose processes have numbers of their own."""
    monkeypatch.setattr(drafts, "_is_running", lambda *_: False)
    drafts.remove_abandoned(tmp_path)
    assert writer[1].exists()


@pytest.mark.parametrize("place", ["beside", "inside"])
def test_folders_of_the_user_stay_whatever_they_are_called(tmp_path, place):
    out = tmp_path / "out"
    mine = [
        ".idlescope-1",
        ".idlescope-notes",
        ".idlescope-1-2-3-0123456789ab",
        ".idlescope-1-2-3",
    ]
    for name in mine:
        folder = (out if place == "inside" else tmp_path) / name
        folder.mkdir(parents=True)
        (folder / "mine").write_text("mine")
    with output_folder.written(out, force=True) as draft:
        (draft.folder / "report.html").write_text("new")
    kept = {path.name for path in (out if place == "inside" else tmp_path).iterdir()}
    assert kept >= set(mine)


def test_a_link_or_a_file_with_the_name_of_a_draft_is_none(tmp_path):
    with drafts.held(tmp_path) as draft:
        name = draft.name.replace(str(os.getpid()), "1", 1)
    digest = drafts._digest(*drafts.NAME.fullmatch(name).group(1, 2, 3))
    dead = tmp_path / f"{name.rpartition('-')[0]}-{digest}"
    (tmp_path / "mine").mkdir()
    dead.symlink_to(tmp_path / "mine")
    drafts.remove_abandoned(tmp_path)
    assert dead.is_symlink()
    dead.unlink()
    dead.write_text("mine")
    drafts.remove_abandoned(tmp_path)
    assert dead.read_text() == "mine"
    dead.unlink()
    dead.mkdir()
    drafts.remove_abandoned(tmp_path)
    assert not dead.exists()
