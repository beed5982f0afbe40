"""Watches of the tests keep to a folder of their own, and none outlives its test."""

from __future__ import annotations

import gc

import pytest

from idlescope.watching import runtime
from idlescope.watching.ways.graph_captures import CAPTURES


@pytest.fixture(scope="module", autouse=True)
def nothing_frozen():
    """The heap is as in use: of what is frozen (tests/conftest.py), any may be a graph."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_WATCH_FOLDER", str(tmp_path / "watches"))
    for name, nothing in (("captured", 0), ("replayed", False)):  # of a test before
        monkeypatch.setattr(CAPTURES, name, nothing)
    yield
    runtime.close_all()
    assert not runtime._running
