"""Recordings from GPUs, corrupted: figures are right, bounded or marked, never silently wrong.

The truth is what the same recording says before it is corrupted. A result is *right* where idle is
that of the truth, to a tenth of a point, and the verdict has the same kind; *bounded* where the
truth lies within the bounds that it gives; *marked* where it says that nothing can be told.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import idlescope
from idlescope.analysis.idle.occupancy import occupancy
from idlescope.analysis.intervals import percent
from idlescope.analysis.verdict.findings import CANNOT_TELL
from idlescope.trace.model import OperationKind, Trace
from tests.conftest import FIXTURES

MS = 1_000_000
NAMES = (
    "loop_eager",
    "vllm_8b_sync",
    "vllm_8b_async",
    "sglang_8b_sync",
    "transformers_sync",
    "transformers_async",
)
CLOSE_PCT = 0.1


@cache
def recorded(name: str) -> Trace:
    return idlescope.open(FIXTURES / f"{name}.json.gz")


@cache
def truth(name: str):
    (result,) = idlescope.analyze(recorded(name)).results
    return result


def analysed(trace: Trace):
    (result,) = idlescope.analyze(trace).results
    return result


def held(name: str, trace: Trace, same_times: bool = True) -> str:
    """Return how the result of a corrupted recording holds; fail where it is silently wrong."""
    true, result = truth(name), analysed(trace)
    if result.verdict.kind == CANNOT_TELL:
        return "marked"
    bounds = result.doubts.bounds
    said = result.verdict.text
    # What the truth says of the same stretch of time: the first or the last operation may be gone.
    window = (result.window.start, result.window.end)
    if same_times:
        same = occupancy(true.operations, window)
        idle_pct = percent(same.idle_ns, same.window_ns)
    else:
        idle_pct = true.idle_pct
    assert bounds.low_pct - CLOSE_PCT <= idle_pct <= bounds.high_pct + CLOSE_PCT, said
    if result.verdict.kind != true.verdict.kind:
        assert bounds.apart or "~" in said or result.coverage.linked_pct < 100, said
    return "bounded" if bounds.apart else "right"


def longer(trace: Trace, row: int, factor: int) -> Trace:
    operations = trace.operations
    end = operations.end.copy()
    end[row] = operations.start[row] + factor * (end[row] - operations.start[row])
    return replace(trace, operations=operations.replace(end=end))


@pytest.mark.parametrize("name", NAMES)
def test_one_duration_a_thousand_times_as_long(name):
    trace = recorded(name)
    random = np.random.default_rng(1)
    lasting = np.flatnonzero(trace.operations.end > trace.operations.start)
    last_to_end = int(trace.operations.end.argmax())
    for row in [*random.choice(lasting, 3, replace=False).tolist(), last_to_end]:
        assert held(name, longer(trace, row, 1000)) in ("bounded", "marked")


def test_a_kernel_of_no_stream_in_use_a_thousand_times_as_long():
    """Nothing of its stream comes after it for so long: only those like it tell."""
    name = "loop_eager"
    trace = recorded(name)
    operations = trace.operations
    alone = operations.replace(stream=np.arange(len(operations)) % 2**15)
    common = np.bincount(operations.name).argmax()
    row = int(np.flatnonzero(operations.name == common)[3])
    apart = replace(trace, operations=alone, streams=tuple(map(str, range(2**15))))
    assert held(name, longer(apart, row, 1000)) == "bounded"


def test_one_replay_of_a_graph_from_which_kernels_are_lost():
    """No other replay tells how many it has; the gaps that they leave do."""
    name = "vllm_8b_sync"
    trace = recorded(name)
    calls, counts = np.unique(trace.operations.correlation, return_counts=True)
    start, end = (
        edge(trace.operations.start[trace.operations.correlation == calls[counts.argmax()]])
        for edge in (np.min, np.max)
    )
    inside = (trace.operations.start >= start) & (trace.operations.start <= end)
    one = replace(trace, operations=trace.operations.take(inside))
    keep = np.random.default_rng(6).random(len(one.operations)) >= 0.02
    (true,), result = (
        idlescope.analyze(one).results,
        analysed(replace(one, operations=one.operations.take(keep))),
    )
    bounds = result.doubts.bounds
    assert bounds.apart or result.verdict.kind == CANNOT_TELL
    assert bounds.low_pct - CLOSE_PCT <= true.idle_pct <= bounds.high_pct + CLOSE_PCT


@pytest.mark.parametrize("ms", [-5, -0.5, 0.5, 5])
@pytest.mark.parametrize("name", NAMES)
def test_another_clock_on_the_gpu(name, ms):
    trace = recorded(name)
    held(
        name,
        replace(trace, operations=trace.operations.shifted(int(ms * MS))),
        same_times=False,
    )


@pytest.mark.parametrize("share", [0.01, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_device_records_dropped(name, share):
    trace = recorded(name)
    keep = np.random.default_rng(2).random(len(trace.operations)) >= share
    held(name, replace(trace, operations=trace.operations.take(keep)))


@pytest.mark.parametrize("share", [0.01, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_calls_dropped(name, share):
    trace = recorded(name)
    keep = np.random.default_rng(3).random(len(trace.calls)) >= share
    held(name, replace(trace, calls=trace.calls.take(keep)))


@pytest.mark.parametrize(
    "kind", [OperationKind.KERNEL, OperationKind.MEMCPY, OperationKind.MEMSET]
)
@pytest.mark.parametrize("name", NAMES)
def test_a_kind_of_operation_dropped_whole(name, kind):
    trace = recorded(name)
    keep = trace.operations.kind != kind
    if keep.any() and not keep.all():
        held(name, replace(trace, operations=trace.operations.take(keep)))


@pytest.mark.parametrize("name", NAMES)
def test_all_calls_dropped(name):
    trace = recorded(name)
    assert held(name, replace(trace, calls=trace.calls.take(slice(0)))) == "marked"


@pytest.mark.parametrize("name", NAMES)
def test_all_ranges_dropped(name):
    trace = recorded(name)
    result = analysed(replace(trace, ranges=trace.ranges.take(slice(0))))
    assert result.occupancy.idle_ns == truth(name).occupancy.idle_ns
    assert result.gaps.totals() == truth(name).gaps.totals()


@pytest.mark.parametrize("name", NAMES)
def test_records_in_another_order(name):
    trace, random = recorded(name), np.random.default_rng(4)
    shuffled = {
        part: getattr(trace, part).take(random.permutation(len(getattr(trace, part))))
        for part in ("operations", "calls", "ranges")
    }
    result = analysed(replace(trace, **shuffled))
    assert result.verdict.kind == truth(name).verdict.kind
    assert result.occupancy.idle_ns == truth(name).occupancy.idle_ns


@pytest.mark.parametrize("name", NAMES)
def test_processes_of_another_name(name):
    trace = recorded(name)
    devices = tuple(replace(device, process_name="7") for device in trace.devices)
    result = analysed(replace(trace, devices=devices))
    assert result.verdict == truth(name).verdict


@pytest.mark.parametrize("factor", [2, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_times_of_another_scale(name, factor):
    trace = recorded(name)
    first = min(trace.calls.start.min(), trace.operations.start.min())
    scaled = {}
    for part in ("operations", "calls", "ranges"):
        table = getattr(trace, part)
        start, end = (factor * (times - first) for times in (table.start, table.end))
        scaled[part] = table.replace(start=start, end=end)
    # Which gaps are short, and which overlaps are none, is told in true nanoseconds: the kind of
    # the verdict may change, the share of idle time may not.
    result = analysed(replace(trace, **scaled))
    assert result.idle_pct == pytest.approx(truth(name).idle_pct)
    assert result.doubts.bounds.low_pct <= result.idle_pct <= result.doubts.bounds.high_pct
