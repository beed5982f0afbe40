"""A Trace survives its recording unchanged."""

from __future__ import annotations

import pytest

import idlescope
from idlescope import RunConfig, analyze, run
from idlescope.errors import TraceError
from idlescope.trace.recording import files


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


def test_a_damaged_recording_is_one_sentence(ran, tmp_path):
    files.write(ran.modes["sync"].trace, tmp_path / "r")
    (tmp_path / "r" / "calls.parquet").unlink()
    with pytest.raises(TraceError, match="is not a whole recording"):
        idlescope.open(tmp_path / "r")
    (tmp_path / "r" / "meta.json").write_text('{"schema": 99}')
    with pytest.raises(TraceError, match="schema 99"):
        idlescope.open(tmp_path / "r")
