"""Of a damaged Kineto file what can be read is read, and each loss is counted with its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import idlescope
from idlescope.errors import TraceError
from idlescope.trace.kineto import events as kineto_events
from tests.make.damaged_kineto import COUNT, EVENTS, LAYOUTS, WHOLE, nth
from tests.make.deep import of
from tests.make.kineto_files import document, read_text


@pytest.fixture(params=[64, 700, 1 << 17])
def _chunks(request, monkeypatch):
    monkeypatch.setattr(kineto_events, "CHUNK_BYTES", request.param)


def test_a_sound_file_has_no_warnings(tmp_path):
    trace = read_text(tmp_path, WHOLE)
    assert not trace.meta.warnings
    assert idlescope.analyze(trace).results[0].coverage.uncertain == ()


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("bad", "kind"), [(b'"name": "k7"', "operations"), (b'"cat": "cuda_runtime"', "calls")]
)
def test_an_event_that_cannot_be_read_costs_only_itself(tmp_path, layout, bad, kind):
    text = LAYOUTS[layout]
    at = nth(text, bad, 1)
    trace = read_text(tmp_path, text[: at + len(bad)] + b' "oops' + text[at + len(bad) :])
    lost = {"operations": COUNT - len(trace.operations), "calls": COUNT - len(trace.calls)}
    assert lost == {"operations": 0, "calls": 0} | {kind: 1}
    assert trace.meta.lost == {kind: 1}
    assert not trace.meta.truncated
    (warning,) = trace.meta.warnings
    assert f"{kind} that cannot be read were left out: 1, the first at byte " in warning
    place = int(warning.rpartition("byte ")[2].replace(",", ""))
    assert text[place : place + 1] == b"{"
    assert place < at < place + 600


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0.31, 0.5, 0.77, 0.93])
def test_a_file_that_ends_early_is_read_as_far_as_it_goes(tmp_path, layout, share):
    text = LAYOUTS[layout]
    trace = read_text(tmp_path, text[: int(len(text) * share)])
    assert COUNT * (share - 0.15) < len(trace.operations) < COUNT
    assert trace.meta.truncated
    assert any("ends before its list of events is closed" in w for w in trace.meta.warnings)
    (device,) = idlescope.analyze(trace).results
    assert (device.verdict.kind, "incomplete" in device.verdict.text) == (
        "cannot tell",
        True,
    )
    assert {"idle_ns", "cause_ns", "host_ns"} <= set(device.coverage.uncertain)


def test_a_stretch_of_zeros_in_the_middle_is_left_out(tmp_path):
    at = nth(WHOLE, b'"cat": "kernel"', 20)
    trace = read_text(tmp_path, WHOLE[:at] + b"\0" * 300_000 + WHOLE[at + 2_000 :])
    assert COUNT - 8 < len(trace.operations) < COUNT
    assert trace.meta.lost
    assert not trace.meta.truncated


def test_a_bracket_too_many_ends_nothing(tmp_path):
    at = nth(WHOLE, b'}, {"ph"', 20)
    trace = read_text(tmp_path, WHOLE[: at + 1] + b"]" + WHOLE[at + 1 :])
    assert (len(trace.operations), len(trace.calls)) == (COUNT, COUNT)
    assert "brackets that close nothing were left out: 1" in trace.meta.warnings[0]


def test_a_second_trace_behind_the_first_is_not_passed_over_in_silence(tmp_path):
    trace = read_text(tmp_path, WHOLE + b"\n" + WHOLE)
    assert trace.meta.truncated
    assert "more events stand behind the end of the list" in trace.meta.warnings[0]


@pytest.mark.parametrize("junk", [b"\0", b"\xf0", b"null"])
def test_what_cannot_be_told_of_a_lost_stretch_is_unknown(tmp_path, junk):
    start = WHOLE.index(b'{"ph": "X", "cat": "kernel", "name": "k7"')
    end = WHOLE.index(b', {"ph"', start)
    text = junk if junk == b"null" else junk * (end - start)
    trace = read_text(tmp_path, WHOLE[:start] + text + WHOLE[end:])
    assert (len(trace.operations), len(trace.calls)) == (
        COUNT - 1,
        COUNT,
    )  # nothing but the event itself
    assert trace.meta.lost == {"unknown": 1}
    assert "idle_ns" in idlescope.analyze(trace).results[0].coverage.uncertain


def test_duplicate_records_count_once(tmp_path):
    trace = read_text(tmp_path, json.dumps(document([*EVENTS, *EVENTS[:10]])).encode())
    assert len(trace.operations) == COUNT
    assert (
        "operations written twice were counted once: 5, the first at the block from byte "
        in trace.meta.warnings[0]
    )


@settings(max_examples=of(60, deep=300))
@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=12), st.integers(0, 60))
def test_any_damage_is_survived_and_admitted(tmp_path_factory, at, junk, gone):
    """Whatever is cut out or put in: no crash, and what differs from the sound file is marked."""
    damaged = WHOLE[:at] + junk + WHOLE[at + gone :]
    try:
        trace = read_text(tmp_path_factory.mktemp("d"), damaged)
        analysis = idlescope.analyze(trace)
    except TraceError:
        return
    json.dumps(analysis.to_json(), allow_nan=False)
    try:
        json.loads(damaged.decode("utf-8-sig", "replace"), strict=False)
    except ValueError:
        assert trace.meta.warnings
