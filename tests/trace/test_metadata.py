"""What a recording says of itself is typed, and comes back from JSON as it went."""

from __future__ import annotations

import json

import pytest

from idlescope.trace.damage import OPERATION_FIGURES, uncertain
from idlescope.trace.metadata import Metadata

EVERYTHING = Metadata(
    format="kineto",
    path="t.json",
    events=5,
    warnings=("calls were left out: 1",),
    lost={"calls": 1},
    truncated=True,
    dropped=("records were dropped",),
    base_time_ns=10**18,
    distributed={"rank": 3},
    measured=False,
    mode="sync",
    model="Llama-3.1-8B",
    gpu="h200",
    rows=32,
    extra={"device": "modelled H200"},
)


def test_it_comes_back_as_it_went():
    assert Metadata.from_json(json.loads(json.dumps(EVERYTHING.to_json()))) == EVERYTHING
    assert Metadata.from_json(Metadata().to_json()) == Metadata()


def test_files_keep_the_names_that_they_had():
    entries = EVERYTHING.to_json()
    assert entries["baseTimeNanoseconds"] == 10**18
    assert entries["distributedInfo"] == {"rank": 3}
    assert entries["device"] == "modelled H200"


def test_what_is_not_of_its_type_is_left_out_and_said():
    entries = {"mode": ["sync"], "rows": "many", "gpu": None, "warnings": "?"}
    read = Metadata.from_json(entries)
    assert read.replace(warnings=()) == Metadata()
    for key in entries:
        assert any(f"as {key} is of another type" in warning for warning in read.warnings)


@pytest.mark.parametrize(
    "entry",
    [
        {"lost": [5]},
        {"lost": {"calls": "5"}},
        {"lost": {"calls": -5}},
        {"truncated": 1},
        {"dropped": 7},
    ],
)
def test_losses_that_cannot_be_read_mark_every_figure(entry):
    read = Metadata.from_json(entry)
    assert read.truncated
    assert set(OPERATION_FIGURES) <= set(uncertain(read))


def test_lost_records_of_an_unknown_kind_may_be_any():
    read = Metadata.from_json({"lost": {"x": 1, "calls": 2, "unknown": 3}})
    assert read.lost == {"unknown": 4, "calls": 2}


def test_what_was_lost_before_is_added_to_what_is_lost_now():
    before = Metadata(lost={"operations": 5}, warnings=("a",), truncated=True)
    now = Metadata(lost={"operations": 1, "ranges": 2}, warnings=("b",))
    both = now.with_losses_of(before)
    assert both.lost == {"operations": 6, "ranges": 2}
    assert (both.warnings, both.truncated) == (("a", "b"), True)


def test_a_time_base_is_known_from_either_entry():
    assert Metadata(session_start_ns=7).epoch_ns == 7
    assert Metadata(session_start_ns=7, base_time_ns=5).epoch_ns == 5
    assert Metadata().epoch_ns is None
