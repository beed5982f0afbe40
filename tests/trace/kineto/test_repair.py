"""Repairs of text lose nothing and name their place."""

from __future__ import annotations

import pytest

from idlescope.trace.kineto import events as kineto_events
from tests.make.damaged_kineto import COUNT, WHOLE, names
from tests.make.kineto_files import read_text

REPAIRS = {
    "bad escape": (
        b'"k7"',
        b'"C:\\Windows\\k7"',
        "backslashes that escape nothing",
        "C:\\Windows\\k7",
    ),
    "control character": (b'"k7"', b'"k\x017"', "control characters", "k 7"),
    "line break in text": (b'"k7"', b'"k\n7"', "line breaks or tabs within text", "k 7"),
    "bad UTF-8": (b'"k7"', b'"k\xff7"', "not UTF-8", "k\ufffd7"),
    "half a surrogate": (b'"k7"', b'"k\\ud8007"', "surrogate", "k\ufffd7"),
    "NaN": (b'"grid": [1, 1, 1]', b'"grid": [NaN, -Infinity, 1]', "NaN or Infinity", "k0"),
    "huge number": (b'"stream": 7', b'"stream": 1e999', "beyond any range", "k0"),
    "comma at the end": (
        b'"nested": [{"a": 1}, {}]}}], "t',
        b'"nested": []}},], "t',
        "commas too many",
        "k0",
    ),
    "trailing comma": (
        b'"grid": [1, 1, 1]',
        b'"grid": [1, 1, 1,]',
        "commas too many",
        "k0",
    ),
    "double comma": (b"}, {", b"},, {", "commas too many", "k0"),
    "two commas between events": (b'}, {"ph"', b'},, {"ph"', "commas too many", "k0"),
    "no comma between events": (b'}, {"ph"', b'} {"ph"', "commas that are missing", "k0"),
}


@pytest.fixture(params=[64, 700, 1 << 17])
def _chunks(request, monkeypatch):
    monkeypatch.setattr(kineto_events, "CHUNK_BYTES", request.param)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize("case", REPAIRS)
def test_repairs_lose_nothing_and_name_their_place(tmp_path, case):
    old, new, said, name = REPAIRS[case]
    at = WHOLE.index(old)
    trace = read_text(tmp_path, WHOLE[:at] + new + WHOLE[at + len(old) :])
    assert len(trace.operations) == len(trace.calls) == COUNT
    assert name in names(trace)
    (warning,) = trace.meta.warnings
    assert said in warning
    place = int(warning.rpartition("byte ")[2].replace(",", ""))
    assert at <= place <= at + len(new), warning
    assert not trace.meta.lost
