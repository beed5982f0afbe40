"""A Trace survives its Perfetto file unchanged."""

from __future__ import annotations

import pytest

import idlescope
from idlescope import RunConfig, analyze, run
from idlescope.export.perfetto import writer
from tests.make import perfetto_lint as lint


@pytest.fixture(scope="module")
def ran():
    config = RunConfig(
        model="tiny",
        device="modelled",
        tokens=40,
        prompt_tokens=20,
        batch_size=4,
        requests=7,
        kv_blocks=16,
        seed=3,
        stop_at_eos=True,
    )
    return run(config)


def without(document, *keys):
    return {k: v for k, v in document.items() if k not in keys}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_perfetto_file_analyses_the_same_to_the_nanosecond(ran, mode, tmp_path):
    writer.write(ran.modes[mode].trace, tmp_path / "t.json.gz")
    again = analyze(idlescope.open(tmp_path / "t.json.gz")).to_json()
    expected = ran.modes[mode].analysis.to_json()
    assert again["steps"] == expected["steps"]
    assert without(again["devices"][0], "process") == without(
        expected["devices"][0], "process"
    )


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_slices_of_a_track_nest_and_arrows_are_paired(ran, mode, tmp_path):
    writer.write(ran.modes[mode].trace, tmp_path / "t.json.gz")
    document = lint.load(tmp_path / "t.json.gz")
    assert lint.findings(document) == []
    events = document["traceEvents"]
    assert sum(e["ph"] == "s" and e["cat"] == "ac2g" for e in events) == len(
        ran.modes[mode].trace.operations
    )
    named = {
        e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"
    }
    assert {"host", "h2d", "compute", "d2h"} <= named


def test_equal_traces_are_equal_files(ran, tmp_path):
    trace = ran.modes["sync"].trace
    for name in ("a.json.gz", "b.json.gz"):
        writer.write(trace, tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
