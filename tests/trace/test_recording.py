"""A Trace survives its recording and its Perfetto file unchanged."""

from __future__ import annotations

import pytest

import idlescope
from idlescope import RunConfig, analyze, run
from idlescope.errors import TraceError
from idlescope.export.perfetto import writer
from idlescope.trace.recording import files
from tests.make import perfetto_lint as lint


@pytest.fixture(scope="module")
def ran():
    config = RunConfig(model="tiny", device="modelled", tokens=40, prompt_tokens=20, batch_size=4, requests=7,
                       kv_blocks=16, seed=3, stop_at_eos=True)  # fmt: skip
    return run(config)


def without(document, *keys):
    return {k: v for k, v in document.items() if k not in keys}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_recording_reads_back_the_same(ran, mode, tmp_path):
    trace = ran.modes[mode].trace
    files.write(trace, tmp_path / "r")
    again = idlescope.open(tmp_path / "r")
    for name in files.TABLES:
        left, right = getattr(trace, name), getattr(again, name)
        assert all((getattr(left, c) == getattr(right, c)).all() for c in left.DTYPES)
    assert (again.names, again.devices, again.streams, again.threads) == (
        trace.names,
        trace.devices,
        trace.streams,
        trace.threads,
    )
    expected = ran.modes[mode].analysis.to_json()
    assert without(analyze(again).to_json(), "source") == without(expected, "source")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_perfetto_file_analyses_the_same_to_the_nanosecond(ran, mode, tmp_path):
    writer.write(ran.modes[mode].trace, tmp_path / "t.json.gz")
    again = analyze(idlescope.open(tmp_path / "t.json.gz")).to_json()
    expected = ran.modes[mode].analysis.to_json()
    assert again["steps"] == expected["steps"]
    assert without(again["devices"][0], "process") == without(expected["devices"][0], "process")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_slices_of_a_track_nest_and_arrows_are_paired(ran, mode, tmp_path):
    writer.write(ran.modes[mode].trace, tmp_path / "t.json.gz")
    document = lint.load(tmp_path / "t.json.gz")
    assert lint.findings(document) == []
    events = document["traceEvents"]
    assert sum(e["ph"] == "s" and e["cat"] == "ac2g" for e in events) == len(
        ran.modes[mode].trace.operations
    )
    named = {e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert {"host", "h2d", "compute", "d2h"} <= named


def test_equal_traces_are_equal_files(ran, tmp_path):
    trace = ran.modes["sync"].trace
    for name in ("a.json.gz", "b.json.gz"):
        writer.write(trace, tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_a_damaged_recording_is_one_sentence(ran, tmp_path):
    files.write(ran.modes["sync"].trace, tmp_path / "r")
    (tmp_path / "r" / "calls.parquet").unlink()
    with pytest.raises(TraceError, match="is not a whole recording"):
        idlescope.open(tmp_path / "r")
    (tmp_path / "r" / "meta.json").write_text('{"schema": 99}')
    with pytest.raises(TraceError, match="schema 99"):
        idlescope.open(tmp_path / "r")
