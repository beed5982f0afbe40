"""The step time without a profiler is found beside the trace that it is of, and nowhere else."""

from __future__ import annotations

import json
import shutil

import pytest

from idlescope.trace import ranks_folder, unprofiled
from idlescope.trace.unprofiled import UnprofiledStep, beside, write_beside
from tests.conftest import FIXTURES

STEP = UnprofiledStep(7.6, 7.4, 7.9, "by counting")


@pytest.fixture
def traces(tmp_path):
    paths = [tmp_path / f"rank{rank}.json.gz" for rank in range(2)]
    for path in paths:
        shutil.copy(FIXTURES / "loop_sync.json.gz", path)
    return paths


def test_it_is_read_beside_each_trace_and_their_folder(traces):
    assert beside(traces[0]) is None
    file = write_beside(traces, STEP, {"tokens": 12.0})
    assert [beside(path) for path in (*traces, file.parent)] == [STEP] * 3
    entry = json.loads(file.read_text())["captures"][0]
    assert (entry["step_ms"], entry["counters"]) == (7.6, {"tokens": 12})
    assert beside(file.parent / "another.json.gz") is None


def test_the_file_is_no_trace_of_a_folder(traces):
    write_beside(traces, STEP, {})
    assert ranks_folder.files(traces[0].parent) == traces


def test_earlier_captures_stay_and_the_newest_that_is_there_counts(traces):
    later = UnprofiledStep(9.0, 9.0, 9.0, "later")
    write_beside(traces[:1], STEP, {})
    write_beside(traces[1:], later, {})
    assert [beside(path) for path in traces] == [STEP, later]
    assert beside(traces[0].parent) == later
    traces[1].unlink()
    assert beside(traces[0].parent) == STEP


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema": 2, "captures": []}',
        '{"step_ms": 3}',
        '{"schema": 1, "captures": [{"traces": ["rank0.json.gz"], "step_ms": -1, "low_ms": -2, '
        '"high_ms": 0, "method": "m", "counters": {}}]}',
    ],
)
def test_a_damaged_file_or_one_of_another_program_is_none(traces, text):
    (traces[0].parent / unprofiled.FILE).write_text(text)
    assert beside(traces[0]) is None
    assert beside(traces[0].parent) is None
