"""A folder of `idlescope run` is not a folder of ranks: one of its recordings is read."""

from __future__ import annotations

from pathlib import Path

import pytest

import idlescope
from idlescope.errors import ConfigError
from idlescope.trace.open import open_trace
from idlescope.trace.recording import files
from tests.make.traces import trace

KERNEL = (10, 20, 0, 0, 0, 0, 5, -1, 0, 0.0)
EXAMPLE = Path(__file__).parents[2] / "reports" / "example"


def run_folder(folder, *modes):
    """Write what a run leaves behind: a recording and a trace per mode, and a summary."""
    for mode in modes:
        files.write(trace([KERNEL], processes=(mode,)), folder / f"{mode}.recording")
        (folder / f"{mode}.trace.json.gz").write_bytes(b"not read")
    (folder / "summary.json").write_text("{}")
    return folder


def test_the_only_mode_is_read(tmp_path):
    folder = run_folder(tmp_path, "async")
    for path in (folder, folder / "summary.json"):
        assert [device.process_name for device in open_trace(path).devices] == ["async"]


def test_of_two_modes_one_is_chosen(tmp_path):
    folder = run_folder(tmp_path, "sync", "async")
    (device,) = open_trace(folder, mode="sync").devices
    assert device.process_name == "sync"
    with pytest.raises(
        ConfigError, match=r"sync and async: choose one with --mode sync or --mode"
    ):
        open_trace(folder)
    with pytest.raises(ConfigError, match="no both"):
        open_trace(folder, mode="both")


def test_a_mode_is_only_for_a_run(tmp_path):
    files.write(trace([KERNEL]), tmp_path / "r")
    with pytest.raises(ConfigError, match=r"is not a folder of `idlescope run`"):
        open_trace(tmp_path / "r", mode="sync")


def test_the_example_is_one_device_and_no_burst_of_requests():
    if not EXAMPLE.is_dir():
        pytest.skip("the repository's example is not here")
    with pytest.raises(ConfigError, match="choose one with --mode"):
        idlescope.open(EXAMPLE)
    analysis = idlescope.analyze(idlescope.open(EXAMPLE, mode="sync"))
    assert len(analysis.results) == 1
