"""Damage inside an argument that no figure depends on costs no record."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.trace.kineto import events as kineto_events
from tests.make.damaged_kineto import COUNT, LAYOUTS, WHOLE, nth
from tests.make.kineto_files import read_text

GRID = b'"grid": [1, 1, 1]'
DECIMAL_COMMAS = b'"blocks per SM": 7,757576, "warps per SM": -31,030304e-05'


@pytest.fixture(params=[64, 700, 1 << 17])
def _chunks(request, monkeypatch):
    monkeypatch.setattr(kineto_events, "CHUNK_BYTES", request.param)


def figures(trace):
    (device,) = idlescope.analyze(trace).to_json()["devices"]
    return {key: device[key] for key in ("operations", "idle_ns", "cause_ns", "host_ns")}


def damaged(text, what, bad, number=7):
    place = nth(text, what, number)
    return text[:place] + bad + text[place + len(what) :]


@pytest.mark.usefixtures("_chunks")
def test_decimal_commas_are_points(tmp_path):
    """What torch writes in a French locale: https://github.com/pytorch/pytorch/issues/191032."""
    trace = read_text(tmp_path, WHOLE.replace(GRID, DECIMAL_COMMAS))
    assert figures(trace) == figures(read_text(tmp_path, WHOLE))
    (warning,) = trace.meta.warnings
    assert warning.startswith(
        f"decimal commas were taken as points: {2 * COUNT}, the first at"
    )
    assert not trace.meta.lost


def test_a_comma_in_a_name_stays(tmp_path):
    text = WHOLE.replace(GRID, DECIMAL_COMMAS).replace(b'"k7"', b'"k<a:1,2}>"')
    assert "k<a:1,2}>" in read_text(tmp_path, text).names


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize(
    "bad",
    [
        b'"grid": [1, oops, 1]',
        b'"grid": [1, 1, 1',
        b'"grid": "1, 1',
        b'"kernel": "say "hello""',
        b'"Input Dims": ',
        b"grid: {{{",
        b'"grid": }}}',
        b'"grid": [}, {"a": 1}]',
    ],
)
@pytest.mark.parametrize("layout", ["one line"])
def test_the_record_is_kept_and_the_damage_counted(tmp_path, layout, bad):
    text = LAYOUTS[layout]
    trace = read_text(tmp_path, damaged(text, GRID, bad))
    assert figures(trace) == figures(read_text(tmp_path, text))
    (warning,) = trace.meta.warnings
    assert "arguments that cannot be read were left out, their records kept: 1" in warning
    assert not trace.meta.lost


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize(
    "bad",
    [b'"correlation": 1,1,', b'"correlation": 7 7,', b'"corr', b'"correlation": "a" "b",'],
)
def test_an_argument_that_figures_are_made_of_costs_its_record(tmp_path, bad):
    trace = read_text(tmp_path, damaged(WHOLE, b'"correlation": 4,', bad, number=2))
    assert len(trace.operations) == COUNT - 1
    assert trace.meta.lost == {"operations": 1}


def test_times_behind_damaged_arguments_are_not_made_up(tmp_path):
    document = json.loads(WHOLE)
    for event in document["traceEvents"]:
        event["dur"] = event.pop("dur")
    trace = read_text(
        tmp_path, damaged(json.dumps(document).encode(), GRID, b'"grid": [1, oops')
    )
    assert len(trace.operations) == COUNT - 1
    assert trace.meta.lost == {"operations": 1}
