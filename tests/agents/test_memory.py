"""What was asked for last is kept, within bounds, and read again where the file has changed."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from idlescope.agents.memory import Choice, Memory
from tests.conftest import FIXTURES

WHOLE = Choice("first-last", None)
NAMES = ("loop_sync", "loop_item", "loop_async")


@pytest.fixture
def paths(tmp_path):
    return [
        shutil.copy(FIXTURES / f"{name}.json.gz", tmp_path / f"{name}.json.gz")
        for name in NAMES
    ]


def test_a_further_question_is_answered_from_memory(paths):
    memory = Memory()
    first = memory.analysis(paths[0], None, WHOLE)
    began = time.perf_counter()
    assert memory.analysis(paths[0], None, WHOLE) is first
    assert time.perf_counter() - began < 0.3
    other_window = memory.analysis(paths[0], None, Choice("steps:7-9", None))
    assert other_window.trace is first.trace


def test_a_file_that_has_changed_is_read_again(paths):
    memory = Memory()
    first = memory.analysis(paths[0], None, WHOLE)
    shutil.copy(paths[1], paths[0])
    os.utime(paths[0], ns=(1, 1))
    second = memory.analysis(paths[0], None, WHOLE)
    assert second.results[0].verdict != first.results[0].verdict
    assert len(memory) == 1


def test_the_traces_that_were_not_asked_for_longest_go(paths):
    memory = Memory(most_traces=2)
    kept = [memory.analysis(path, None, WHOLE) for path in paths]
    assert len(memory) == 2
    assert memory.analysis(paths[2], None, WHOLE) is kept[2]
    assert memory.analysis(paths[0], None, WHOLE) is not kept[0]


def test_bytes_are_bounded_and_the_newest_stays(paths):
    memory = Memory(most_bytes=1)
    for path in paths:
        memory.analysis(path, None, WHOLE)
        assert len(memory) == 1


def test_analyses_of_one_trace_are_bounded(paths):
    memory = Memory()
    first = memory.analysis(paths[0], None, WHOLE)
    for step_ms in range(1, 10):
        memory.analysis(paths[0], None, Choice("first-last", float(step_ms)))
    assert memory.analysis(paths[0], None, WHOLE) is not first


def test_a_comparison_is_made_ready_between_questions(paths):
    memory = Memory()
    memory.prepare()
    memory.analysis(paths[0], None, WHOLE)
    memory.prepare()
    began = time.perf_counter()
    ready = memory.breakdown(paths[0], None, WHOLE)
    assert time.perf_counter() - began < 0.3
    assert memory.breakdown(paths[0], None, WHOLE) is ready
