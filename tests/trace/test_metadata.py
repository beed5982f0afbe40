"""What a recording says of itself is typed, and comes back from JSON as it went."""

from __future__ import annotations

import json

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


def test_what_is_not_of_its_type_is_left_out():
    entries = {
        "mode": ["sync"],
        "rows": "many",
        "gpu": None,
        "warnings": "?",
        "lost": {"x": 1},
    }
    assert Metadata.from_json(entries) == Metadata()


def test_a_time_base_is_known_from_either_entry():
    assert Metadata(session_start_ns=7).epoch_ns == 7
    assert Metadata(session_start_ns=7, base_time_ns=5).epoch_ns == 5
    assert Metadata().epoch_ns is None
