"""A cold start is told apart from the steps that follow it, with the window that leaves it out."""

from __future__ import annotations

import re

from tests.make.kineto_files import call, operation
from tests.make.views import measured

MS = 1_000_000
US = 1_000


def kernels_after_a_slow_launch(slow_ns, count=60):
    """A kernel, a launch that lasts, and then kernels that are launched long before they run."""
    events = [call(0, 5 * US, 1), operation(8 * US, 808 * US, correlation=1, name="first")]
    at = 10 * US
    events.append(call(at, at + slow_ns, 2))
    at += slow_ns
    start = at + 20 * US
    for number in range(count):
        if number:
            events.append(call(at, at + 5 * US, 2 + number))
        events.append(operation(start, start + 800 * US, correlation=2 + number))
        at += 8 * US
        start += 810 * US
    return events


def test_one_slow_launch_is_a_cold_start(tmp_path):
    device = measured(tmp_path, kernels_after_a_slow_launch(400 * MS))
    assert device.verdict.kind == "cold start"
    assert "in a cold start: one cudaLaunchKernel of 400.0 ms" in device.verdict.text
    window = re.search(r"--window (time:\S+ms)\.", device.verdict.text)[1]
    after = measured(tmp_path, kernels_after_a_slow_launch(400 * MS), window=window)
    assert after.verdict.kind == "busy"


def test_a_launch_that_lasts_because_the_queue_is_full_is_none(tmp_path):
    events = [
        operation(0, 500 * MS, correlation=7),
        call(-10 * US, -5 * US, 7),
        call(0, 490 * MS, 8),
        operation(501 * MS, 502 * MS, correlation=8),
    ]
    events = [{**event, "ts": event["ts"] + 100} for event in events]
    assert measured(tmp_path, events).verdict.kind == "busy"


def test_slow_calls_all_along_are_no_start(tmp_path):
    events = []
    for step in range(10):
        at = step * 50 * MS
        events += [
            call(at, at + 40 * MS, step + 1),
            operation(at + 41 * MS, at + 50 * MS, correlation=step + 1),
        ]
    assert measured(tmp_path, events).verdict.kind != "cold start"


def test_a_few_long_gaps_are_no_case_for_a_graph(tmp_path):
    events = []
    for step in range(8):
        at = step * 5 * MS
        events += [
            call(at + 4 * MS, at + 4 * MS + 10 * US, step + 1),
            operation(at + 4 * MS + 20 * US, at + 5 * MS, correlation=step + 1),
        ]
    device = measured(tmp_path, events)
    assert "a CUDA graph would help" not in device.verdict.text
    assert device.verdict.kind == "host-bound"
