"""Files that cannot be read to an end are refused before anyone waits for them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from idlescope.plain_files import NotPlainError, plain_size, read_plain
from tests.conftest import FIXTURES
from tests.make.commands import idlescope, refused

TRACE = FIXTURES / "loop_sync.json.gz"
MADE_UP = Path("/proc/kmsg")  # a read waits for what the kernel says next
LIMIT = ("--max-idle", "5%")


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@contextmanager
def said(reason):
    with pytest.raises(NotPlainError) as error:
        yield
    assert str(error.value) == reason


def test_a_pipe_a_device_and_a_folder_are_no_files(pipe):
    for path in (pipe, Path("/dev/zero")):
        with said("it is a pipe or a device, not a file"):
            plain_size(path)
    with said("it is a folder"):
        read_plain(pipe.parent)


def test_what_is_far_too_large_is_not_read(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(3 << 20)
    assert read_plain(path, 3 << 20) == bytes(3 << 20)
    with said("it is larger than 2 MB"):
        read_plain(path, 2 << 20)


@pytest.mark.skipif(not MADE_UP.exists(), reason="a file of Linux")
def test_what_has_no_length_is_empty():
    assert read_plain(MADE_UP) == b""


@pytest.mark.parametrize(
    "words",
    [
        ("analyze", "HERE"),
        ("scrub", "HERE", "o.json"),
        ("compare", "HERE", TRACE),
        ("analyze", TRACE, "--phases", "HERE"),
        ("run", "--workload", "HERE"),
        ("check", TRACE, *LIMIT, "--history", "HERE"),
        ("check", TRACE, *LIMIT, "--junit", "HERE"),
    ],
    ids=lambda words: " ".join(map(str, words)).replace(str(TRACE), "t"),
)
def test_commands_refuse_them_wherever_a_file_is_given(pipe, tmp_path, words):
    for path in (pipe, MADE_UP):
        given = [path if word == "HERE" else word for word in words]
        refused(idlescope(*given, cwd=tmp_path), str(path))


def test_a_pipe_in_a_folder_of_ranks_or_beside_a_trace_is_none_of_them(tmp_path):
    for name in ("rank1.json", "unprofiled.json"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "rank0.json.gz").write_bytes(TRACE.read_bytes())
    for path in (tmp_path, tmp_path / "rank0.json.gz"):
        result = idlescope("analyze", path)
        assert result.returncode == 0, result.stderr


def test_a_pipe_in_a_recording_is_damage(tmp_path):
    folder = tmp_path / "r"
    assert idlescope("convert", TRACE, folder).returncode == 0
    (folder / "operations.parquet").unlink()
    os.mkfifo(folder / "operations.parquet")
    refused(idlescope("analyze", folder), "a pipe or a device")
