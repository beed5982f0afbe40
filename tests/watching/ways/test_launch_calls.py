"""Operations meet the calls that issued them, however many come at once, and memory stays bounded."""

from __future__ import annotations

import numpy as np

from idlescope.watching.ways.cupti_records import CallRecords
from idlescope.watching.ways.launch_calls import MOST_CALLS, MOST_LAUNCHES, LaunchCalls


def calls_of(first, count):
    """Return calls of the API, one per microsecond, each of 200 ns."""
    correlation = np.arange(first, first + count)
    return CallRecords(correlation, 1_000 * correlation, 1_000 * correlation + 200)


def test_all_that_comes_between_two_settlings_is_attributed():
    # A mixed load, 1B on an H200: over ten thousand calls per second, settled every three seconds.
    count, launches = 3 * MOST_CALLS, LaunchCalls()
    for number in range(2 * MOST_LAUNCHES):
        start = number * 12_000
        launches.note(number + 1, start, start + 11_000)
    launches.take_notes()
    launches.add_calls(calls_of(1, count), 0, 0)

    issued = launches.of(np.array([1, count // 2, count - 1, count + 1]))
    assert issued.known.tolist() == [True, True, True, False]
    assert issued.launch.tolist() == [1, MOST_LAUNCHES + 1, 2 * MOST_LAUNCHES, 0]


def test_what_came_before_is_kept_within_bounds():
    launches = LaunchCalls()
    for batch in range(10):
        launches.note(batch + 1, batch, batch)
        launches.take_notes()
        launches.add_calls(calls_of(1 + batch * MOST_CALLS, MOST_CALLS), 0, 0)
    newest = 10 * MOST_CALLS
    asked = np.array([newest, newest - MOST_CALLS, newest - 2 * MOST_CALLS])
    assert launches.of(asked).known.tolist() == [True, True, False]
    assert launches.newest() == (10, 9)
