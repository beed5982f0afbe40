"""Records that cannot be right are seen: durations that are too long, and clocks that disagree."""

from __future__ import annotations

import numpy as np
import pytest

from idlescope.analysis.analyze import analyze
from idlescope.analysis.comparison.checks import examine
from idlescope.analysis.comparison.limits import Limits
from idlescope.trace.model import Device
from idlescope.trace.open import open_trace
from idlescope.watching.ring import Watched, trace_of
from tests.make.kineto_files import call, operation, write
from tests.make.views import measured
from tests.make.watched_loops import REGULAR_NAMES, regular_rows

US = 1_000
MS = 1_000_000


def steps(count=20, kernels=10, device_ns=0):
    """Synchronous steps of 10 ms: 2 ms of the host's, kernels of 0.8 ms, a copy that is waited for.

    The device's times are `device_ns` later.
    """
    events, number = [], 0
    for step in range(count):
        at = step * 10_064 * US + 6 * MS
        start = at + 2_030 * US
        for kernel in range(kernels):
            number += 1
            issued = at + 2_000 * US + kernel * 2 * US
            events.append(call(issued, issued + US, number))
            events.append(_kernel(start, start + 800 * US, number, device_ns))
            start += 802 * US
        number += 1
        events += [
            call(at + 2_080 * US, at + 2_086 * US, number, "cudaMemcpyAsync"),
            call(at + 2_087 * US, start + 5 * US, 0, "cudaStreamSynchronize"),
            _copy(start, start + 4 * US, number, device_ns),
        ]
    return events


def _kernel(start, end, number, device_ns):
    return operation(start + device_ns, end + device_ns, correlation=number)


def _copy(start, end, number, device_ns):
    name = "Memcpy DtoH (Device -> Pinned)"
    return operation(start + device_ns, end + device_ns, "memcpy", number, name=name)


def with_durations(events, factor, *numbers):
    """The same with the durations of some kernels multiplied."""
    kernels = [event for event in events if event["cat"] == "kernel"]
    for number in numbers:
        kernels[number]["dur"] *= factor
    return events


TRUTH = 20.3


def test_sound_records_have_no_bounds(tmp_path):
    device = measured(tmp_path, steps())
    assert device.idle_pct == pytest.approx(TRUTH, abs=1)
    assert not device.doubts.bounds.apart
    assert not device.doubts.corruption.rows.size


def test_one_corrupt_duration_makes_idle_an_interval_that_holds_the_truth(tmp_path):
    truth = measured(tmp_path, steps(60)).idle_pct
    device = measured(tmp_path, with_durations(steps(60), 500, 100))
    bounds = device.doubts.bounds
    assert device.idle_pct < truth / 2
    assert bounds.low_pct <= truth <= bounds.high_pct < truth + 1
    assert device.coverage.corrupt_operations == 1
    assert "idle_ns" in device.coverage.uncertain
    assert (
        f"between {bounds.low_pct:.2f} and {bounds.high_pct:.2f} %" in device.verdict.text
    )
    assert "One operation of" in device.verdict.text
    assert "its duration is corrupt" in device.verdict.text


def test_no_verdict_crosses_the_bounds_and_no_check_passes_on_them(tmp_path):
    events = with_durations(steps(), 75, 0, 50, 100, 150)
    device = measured(tmp_path, events)
    assert device.idle_pct < 1
    assert device.doubts.bounds.high_pct > TRUTH
    assert device.verdict.kind == "cannot tell"
    trace = open_trace(write(tmp_path / "c.json", events))
    (check,) = examine(trace, Limits.of(max_idle="10%"))
    assert not check.holds


def test_a_limit_within_the_bounds_cannot_be_told(tmp_path):
    events = with_durations(steps(60), 500, 100)
    trace = open_trace(write(tmp_path / "c.json", events))
    (within,) = examine(trace, Limits.of(max_idle="15%"))
    assert not within.holds
    assert "idle cannot be told. It is between" in within.says
    (above,) = examine(trace, Limits.of(max_idle="30%"))
    assert above.holds


@pytest.mark.parametrize("ms", [-5, -0.5, 0.5, 5])
def test_clocks_that_disagree_are_named_with_the_amount(tmp_path, ms):
    device = measured(tmp_path, steps(device_ns=int(ms * MS)))
    assert device.idle_pct == pytest.approx(TRUTH, abs=1)
    assert device.doubts.corruption.clock_ns / MS == pytest.approx(ms, abs=0.05)
    where = "behind" if ms < 0 else "ahead of"
    assert device.verdict.kind == "cannot tell"
    assert "The clocks disagree" in device.verdict.text
    assert f"ms {where} the host's" in device.verdict.text


def test_a_copy_that_ends_after_its_wait_returned_is_corrupt(tmp_path):
    events = steps()
    copies = [event for event in events if event["cat"] == "gpu_memcpy"]
    copies[7]["dur"] *= 300
    device = measured(tmp_path, events)
    assert device.coverage.corrupt_operations == 1
    assert "ends after a call that waited for it had returned, or" in device.verdict.text


def test_launches_on_an_idle_device_that_all_begin_late_are_clocks_that_disagree(tmp_path):
    events = [event for event in steps(device_ns=500 * US) if "Memcpy" not in event["name"]]
    device = measured(tmp_path, events)
    assert device.doubts.corruption.clock_ns / MS == pytest.approx(0.53, abs=0.02)
    assert "is slow to begin" in device.verdict.text


def test_operations_that_begin_at_once_show_that_the_clocks_agree(tmp_path):
    events = [event for event in steps(device_ns=500 * US) if "Memcpy" not in event["name"]]
    for number in range(901, 904):
        issued = 6 * MS + number * 50 * US
        events.append(call(issued, issued + US, number))
        events.append(
            operation(issued + 3 * US, issued + 6 * US, "kernel", number, stream=9)
        )
    device = measured(tmp_path, events)
    assert not device.doubts.corruption.clock_ns


@pytest.mark.parametrize("device_ns", [0, 2 * MS])
def test_an_asynchronous_engine_that_shares_its_gpu_has_no_clocks_that_disagree(
    tmp_path, device_ns
):
    """Each step is issued 6 ms ahead, and waits 1.5 ms for the GPU; or the clock is off.

    Its wait returns amid the step, as a copy to the host has ended.
    """
    events = []
    for number in range(1, 21):
        start = 10 * MS + number * 7 * MS
        issued = start - 5_900 * US
        calls = ("cudaMemcpyAsync", "cudaLaunchKernel", "cudaMemcpyAsync")
        for place, name in enumerate(calls):
            at = issued + place * 10 * US
            events.append(call(at, at + 5 * US, 10 * number + place, name))
        kernel_end = start + 5_500 * US
        events += [
            call(issued + 40 * US, start + 1_008 * US, 0, "cudaStreamSynchronize"),
            operation(start + device_ns, start + device_ns + US, "memcpy", 10 * number),
            _kernel(start + US, kernel_end, 10 * number + 1, device_ns),
            operation(
                start + MS + device_ns,
                start + 1_002 * US + device_ns,
                "memcpy",
                10 * number + 2,
                stream=9,
                name="Memcpy DtoH (Device -> Pinned)",
            ),
        ]
    device = measured(tmp_path, events)
    assert device.doubts.corruption.clock_ns / MS == pytest.approx(device_ns / MS, abs=0.02)
    assert not device.doubts.corruption.slow_to_begin


@pytest.mark.parametrize("device_ns", [0, 12 * MS])
def test_launches_that_wait_for_other_processes_are_no_clocks_that_disagree(
    tmp_path, device_ns
):
    """Each launch waits 12 ms for the GPU, and its wait returns when it is done; or the clock is off."""
    events = []
    for number in range(1, 31):
        launched = 50 * MS * number
        begun = launched + 20 * US + (0 if device_ns else 12 * MS)
        events += [
            call(launched, launched + 10 * US, number),
            operation(begun + device_ns, begun + device_ns + 3 * MS, correlation=number),
            call(launched + 15 * US, begun + 3_020 * US, 0, "cudaEventSynchronize"),
        ]
    device = measured(tmp_path, events)
    assert bool(device.doubts.corruption.clock_ns) == bool(device_ns)
    assert ("The clocks disagree" in device.verdict.text) == bool(device_ns)
    assert "of other processes on this GPU" in device.verdict.text or device_ns


@pytest.mark.parametrize("compiles", [True, False])
def test_a_launch_call_that_compiles_has_no_corrupt_duration(compiles):
    """By events, all that a call issues is one operation: the first was 12 s long in vLLM's start."""
    rows = regular_rows(40)
    operations, calls = ({**table} for table in (rows.operations, rows.calls))
    first = operations["start"].argmin()
    operations["start"] = operations["start"].copy()
    operations["start"][first] -= 12_000 * MS
    if compiles:
        calls["start"] = calls["start"].copy()
        calls["start"][calls["launch"] == operations["launch"][first]] -= 12_000 * MS
        calls["end"] = np.where(
            calls["launch"] == 1, operations["end"][first], calls["end"]
        )
    rows = rows._replace(operations=operations, calls=calls)
    said = Watched("events", (), "vllm", "0.24.0", None, steps_in_phases=False)
    (device,) = analyze(
        trace_of(rows, 10**10, REGULAR_NAMES, (), Device(0, 0, "a GPU"), said, 10**18)
    ).results
    assert device.doubts.bounds.apart
    assert ("One launch call lasted 12,0" in device.verdict.text) == compiles
    assert ("duration is corrupt" in device.verdict.text) == (not compiles)


def test_a_watch_by_events_does_not_see_what_its_launches_wait_for():
    """transformers' copies of its inputs, on a stream of their own, took 0.2 s a step (H200)."""
    rows = regular_rows(40)
    late = rows.operations["start"] + 2 * MS
    rows = rows._replace(operations=rows.operations | {"start": late})
    said = Watched("events", (), "transformers", "5.17.0", None, steps_in_phases=False)
    end = int(rows.steps["end"].max()) + MS
    trace = trace_of(rows, end, REGULAR_NAMES, (), Device(0, 0, "a GPU"), said, 10**18)
    device = analyze(trace).results[0]
    assert device.doubts.corruption.clock_text == ""
    assert device.gaps.totals()["launch"] == pytest.approx(39 * 2.06 * MS, rel=0.01)
    assert device.batching.kind == "synchronous"
