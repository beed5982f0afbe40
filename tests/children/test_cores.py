"""As many processes at once as were asked for, else as cores are given to this process."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from idlescope.children import cores
from idlescope.children.start import command


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.delenv(cores.VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


def container(monkeypatch, **files):
    """A container whose files of limits have this content; others do not exist."""
    paths = {cores._QUOTA: files.get("v2")}
    paths |= {cores._QUOTA_V1.format(part): files.get(part) for part in ("quota", "period")}

    def read(path):
        if paths[path] is None:
            raise FileNotFoundError(path)
        return paths[path]

    monkeypatch.setattr(cores, "_read", read)


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(
    ("files", "usable"),
    [
        ({}, 4),
        ({"v2": "max 100000"}, 4),
        ({"v2": "200000 100000"}, 2),
        ({"v2": "150000 100000"}, 2),
        ({"v2": "900000 100000"}, 4),
        ({"v2": "0 0"}, 4),
        ({"quota": "100000", "period": "100000"}, 1),
        ({"quota": "-1", "period": "100000"}, 4),
    ],
)
def test_no_more_than_a_container_gives(monkeypatch, files, usable):
    container(monkeypatch, **files)
    assert cores.usable_cores() == usable


@pytest.mark.usefixtures("four_cores")
def test_what_is_asked_for_counts(monkeypatch):
    container(monkeypatch, v2="200000 100000")
    monkeypatch.setenv(cores.VARIABLE, "7")
    assert cores.usable_cores() == 7
    for nothing in ("", "0", "many", "-3"):
        monkeypatch.setenv(cores.VARIABLE, nothing)
        assert cores.usable_cores() == 2


@pytest.mark.parametrize(
    ("set_by_user", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")]
)
def test_a_child_starts_no_threads_for_linear_algebra_unless_it_is_told_to(
    tmp_path, set_by_user, threads
):
    (tmp_path / "said.py").write_text(
        "import os; print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    words = command("said")
    import_path = [*json.loads(words[3]), str(tmp_path)]
    environment = {
        key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"
    }
    said = subprocess.run(
        [*words[:3], json.dumps(import_path), *words[4:]],
        env=environment | set_by_user,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == threads
