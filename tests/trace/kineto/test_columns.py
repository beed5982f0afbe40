"""Values of events that are not of the type they should be cost nothing."""

from __future__ import annotations

import json

from tests.make.kineto_files import document, operation, read_text


def test_ids_beyond_64_bits_are_taken_as_missing(tmp_path):
    events = [
        operation(0, 10, correlation=2**70),
        operation(20, 30, correlation=-5),
        operation(40, 50, correlation=7),
    ]
    trace = read_text(tmp_path, json.dumps(document(events)).encode())
    assert trace.operations.correlation.tolist() == [0, -5, 7]
    assert "ids beyond 64 bits were taken as missing: 1" in trace.meta.warnings[0]


def test_values_of_the_wrong_type_cost_nothing(tmp_path):
    events = [
        {**operation(0, 10), "args": [1], "cat": "kernel"},
        {**operation(20, 30), "name": {"a": 1}},
        {**operation(40, 50), "pid": None, "tid": [3]},
        {**operation(60, 70), "cat": 7},
    ]
    assert len(read_text(tmp_path, json.dumps(document(events)).encode()).operations) == 3
