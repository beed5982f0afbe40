"""torch.profiler's numbers of steps: used twice, in no order, or beyond any count."""

from __future__ import annotations

import pytest

import idlescope
from tests.make.kineto_files import call, operation, span, write

STEP_NS = 10_000


def steps_of(tmp_path, numbers, pause_before=None):
    """The steps found in a trace of one launch per step, its spans numbered so."""
    events, start = [], 0
    for row, number in enumerate(numbers):
        start += 50 * STEP_NS if row == pause_before else 0
        events += [
            span(start, start + STEP_NS - 100, f"ProfilerStep#{number}"),
            call(start + 1_000, start + 2_000, row + 1),
            operation(start + 3_000, start + 8_000, correlation=row + 1),
        ]
        start += STEP_NS
    analysis = idlescope.analyze(idlescope.open(write(tmp_path / "t.json", events)))
    return [step["step"] for step in analysis.to_json()["steps"]]


def test_numbers_of_one_window_stay(tmp_path):
    assert steps_of(tmp_path, [13, 14, 15, 16]) == [13, 14, 15, 16]


def test_a_second_window_with_the_same_numbers_is_further_steps(tmp_path):
    assert steps_of(tmp_path, [0, 1, 2, 3] * 2, pause_before=4) == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_third_window_goes_on_from_the_second(tmp_path):
    assert steps_of(tmp_path, [5, 6, 5, 6, 5, 6]) == [5, 6, 7, 8, 9, 10]


def test_two_windows_are_as_synchronous_as_each_of_them(tmp_path):
    events, correlation = [], 0
    for window in range(2):
        for step in range(5):
            start = window * 1_000_000 + step * STEP_NS
            correlation += 1
            events += [
                span(start, start + STEP_NS, f"ProfilerStep#{step}"),
                call(start + 1_000, start + 2_000, correlation),
                operation(start + 3_000, start + 8_000, correlation=correlation),
                call(start + 2_500, start + 8_500, 0, "cudaStreamSynchronize"),
            ]
    (device,) = idlescope.analyze(
        idlescope.open(write(tmp_path / "t.json", events))
    ).results
    assert len(device.steps) == 10
    assert "synchronous" in device.verdict.text
    assert "asynchronous" not in device.verdict.text


def test_spans_of_one_number_that_overlap_are_one_step(tmp_path):
    events = []
    for step in range(4):
        start = step * STEP_NS
        events += [
            span(start, start + 9_000, f"ProfilerStep#{step}"),
            span(start + 10, start + 8_990, f"ProfilerStep#{step}", tid=101),
            call(start + 1_000, start + 2_000, step + 1),
            operation(start + 3_000, start + 8_000, correlation=step + 1),
        ]
    analysis = idlescope.analyze(idlescope.open(write(tmp_path / "t.json", events)))
    assert [step["step"] for step in analysis.to_json()["steps"]] == [0, 1, 2, 3]


@pytest.mark.parametrize("huge", [2**31, 2**32 + 1, 10**30])
def test_numbers_that_are_no_count_are_replaced_by_their_order(tmp_path, huge):
    assert steps_of(tmp_path, [huge, huge + 1, huge + 2]) == [0, 1, 2]


@pytest.mark.parametrize("number", ["9" * 19, "9" * 5_000])
def test_numbers_that_python_or_a_column_cannot_hold_are_counted_from_0(tmp_path, number):
    assert steps_of(tmp_path, [number, f"{number}0"]) == [0, 1]
