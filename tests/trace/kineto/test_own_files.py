"""Files that idlescope wrote are told by their structure, not by a word in them."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.export.perfetto import writer
from idlescope.trace.kineto.own_files import written_by_idlescope
from idlescope.trace.open import open_trace
from idlescope.trace.scrub.copy import scrub
from tests.make.kineto_files import call, document, operation, read_text, span, write
from tests.make.traces import trace

ONE_OPERATION = [(0, 10, 0, 0, 0, 0, 0, 3, 0, 0.0)]


def test_what_we_write_is_ours_and_its_scrubbed_copy_too(tmp_path):
    writer.write(trace(ONE_OPERATION), tmp_path / "t.json.gz")
    scrub(tmp_path / "t.json.gz", tmp_path / "copy.json")
    assert written_by_idlescope(tmp_path / "t.json.gz")
    assert written_by_idlescope(tmp_path / "copy.json")
    assert idlescope.open(tmp_path / "copy.json").operations.step.tolist() == [3]


@pytest.mark.parametrize(
    "foreign",
    [
        document([operation(0, 10), span(0, 5, "idlescope", tid="idlescope")]),
        {"idlescope": "1.0", **document([operation(0, 10)])},
        {"user": {"idlescope": {}}, **document([operation(0, 10)])},
        document([operation(0, 10)], idlescope={"time_offset_ns": 5}),
    ],
)
def test_the_word_alone_makes_no_file_ours(tmp_path, foreign):
    foreign["traceEvents"][0]["args"]["step"] = 3
    trace_read = read_text(tmp_path, json.dumps(foreign))
    assert not written_by_idlescope(tmp_path / "t.json")
    assert trace_read.operations.step.tolist() == [-1]
    assert trace_read.operations.start.tolist() == [0]


def test_a_bare_list_of_events_is_not_ours(tmp_path):
    assert not written_by_idlescope(
        write(tmp_path / "t.json", [operation(0, 10)], array=True)
    )


@pytest.mark.parametrize(
    "marker",
    [
        {"time_offset_ns": "x"},
        {"warnings": 5, "lost": 3, "process_names": []},
        {"lost": {"operations": "many"}},
    ],
)
def test_entries_of_the_wrong_type_are_passed_over(tmp_path, marker):
    ours = {"idlescope": marker, **document([operation(0, 10)])}
    trace_read = read_text(tmp_path, json.dumps(ours))
    assert trace_read.operations.start.tolist() == [0]
    assert not trace_read.meta.warnings
    assert not trace_read.meta.lost


@pytest.mark.parametrize("step", [2**31, 2**63, "many", None])
def test_steps_that_are_no_steps_are_taken_as_missing(tmp_path, step):
    ours = {"idlescope": {}, **document([operation(0, 10)])}
    ours["traceEvents"][0]["args"]["step"] = step
    assert read_text(tmp_path, json.dumps(ours)).operations.step.tolist() == [-1]


@pytest.mark.parametrize("shift", [10**20, 2**62, -(2**63)])
def test_a_shift_beyond_any_time_is_passed_over(tmp_path, shift):
    ours = {"idlescope": {"time_offset_ns": shift}, **document([operation(0, 10)])}
    assert read_text(tmp_path, json.dumps(ours)).operations.start.tolist() == [0]


def test_flops_without_end_are_not_known(tmp_path):
    ours = {"idlescope": {}, **document([operation(0, 10)])}
    ours["traceEvents"][0]["args"]["flops"] = "1e400"
    assert read_text(tmp_path, json.dumps(ours)).operations.flops.tolist() == [0]


def test_an_argument_called_process_splits_no_foreign_device(tmp_path):
    events = [
        call(0, 1, 1),
        operation(5, 10, correlation=1),
        operation(25, 30, correlation=1),
    ]
    events[2]["args"]["process"] = "worker"
    assert len(open_trace(write(tmp_path / "t.json", events)).devices) == 1
