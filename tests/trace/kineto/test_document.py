"""What stands around the events of a Kineto file is read as far as it goes."""

from __future__ import annotations

import json

import pytest

import idlescope
from tests.make.damaged_kineto import COUNT, EVENTS, WHOLE
from tests.make.kineto_files import document, read_text


@pytest.mark.parametrize(
    "metadata",
    [
        {"WARNING": 5},
        {"idlescope": 5},
        {"idlescope": {"time_offset_ns": "x"}},
        {"idlescope": {"warnings": 5, "lost": 3}},
    ],
)
def test_metadata_of_the_wrong_type_is_passed_over(tmp_path, metadata):
    trace = read_text(tmp_path, json.dumps(document(EVENTS, **metadata)).encode())
    assert len(idlescope.analyze(trace).results[0].operations) == COUNT


def test_metadata_behind_the_events_is_read_and_repaired(tmp_path):
    text = WHOLE.replace(b'"at the end"', b'"C:\\Users\\me"')
    trace = read_text(
        tmp_path,
        text.replace(b'"traceName"', b'"distributedInfo": {"rank": 3}, "traceName"'),
    )
    assert trace.meta.distributed == {"rank": 3}
    text = WHOLE.replace(b'"at the end"', b'"at the')
    assert (
        "metadata behind the events cannot be read"
        in read_text(tmp_path, text).meta.warnings[0]
    )
