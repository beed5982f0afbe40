"""As many processes at once as were asked for, else as cores are given to this process."""

from __future__ import annotations

import os

import pytest

from idlescope.children import cores


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
