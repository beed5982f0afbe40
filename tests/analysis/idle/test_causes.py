"""Why gaps are there: one gap of 100 µs, launched at different times."""

import pytest

from tests.make.kineto_files import call, operation
from tests.make.views import measured

GAP_START, GAP_END = 50_000, 150_000


def gap_launched_at(*launches):
    events = [call(0, 1_000, 1), operation(10_000, GAP_START, correlation=1)]
    for correlation, launch in enumerate(launches, 2):
        events.append(call(launch, launch + 1_000, correlation))
        events.append(
            operation(GAP_END, 200_000, correlation=correlation, stream=correlation)
        )
    return events


@pytest.mark.parametrize(
    ("launch", "host", "late", "queued"),
    [
        (20_000, 0, 0, 100_000),  # long before the gap
        (GAP_START - 1_000, 0, 0, 100_000),  # returned as the gap begins
        (GAP_START - 999, 0, 100_000, 0),  # had not returned when the device ran dry
        (GAP_START, 0, 100_000, 0),
        (90_000, 40_000, 60_000, 0),  # within it
        (GAP_END, 100_000, 0, 0),
        (170_000, 100_000, 0, 0),  # clocks that disagree: never more than the gap
    ],
)
def test_a_gap_is_divided_at_the_launch_of_what_ended_it(
    tmp_path, launch, host, late, queued
):
    gaps = measured(tmp_path, gap_launched_at(launch)).gaps
    assert gaps.totals() == {
        "host": host,
        "launch": late,
        "queued": queued,
        "unattributed": 0,
    }


def test_of_several_operations_that_end_a_gap_the_first_launched_counts(tmp_path):
    device = measured(tmp_path, gap_launched_at(120_000, 70_000, 130_000))
    assert device.gaps.host.tolist() == [20_000]
    assert device.view.trace.calls.start[device.gaps.call].tolist() == [70_000]


def test_without_a_launch_the_whole_gap_is_unattributed(tmp_path):
    events = [*gap_launched_at(), operation(GAP_END, 200_000)]
    gaps = measured(tmp_path, events).gaps
    assert gaps.totals()["unattributed"] == 100_000
    assert gaps.call.tolist() == [-1]
    assert gaps.operation.tolist() == [1]


def test_parts_are_the_gaps_in_time_order(tmp_path):
    gap, cause, times = measured(tmp_path, gap_launched_at(90_000)).gaps.parts()
    assert gap.tolist() == [0, 0]
    assert cause.tolist() == [0, 1]
    assert times.start.tolist() == [GAP_START, 90_000]
    assert times.end.tolist() == [90_000, GAP_END]


def test_operations_of_no_length_end_no_gap(tmp_path):
    empty = [call(60_000, 61_000, 9), operation(GAP_END, GAP_END, correlation=9)]
    device = measured(tmp_path, [*gap_launched_at(90_000), *empty])
    assert device.gaps.host.tolist() == [40_000]
    assert device.operations.end[device.gaps.operation].tolist() == [200_000]
