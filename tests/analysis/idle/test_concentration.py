"""Idle time is a cost of each step, a few pauses, or a lack of requests."""

import numpy as np
import pytest

import idlescope
from idlescope.trace.model import Device
from idlescope.watching.ring import Kept, Watched, trace_of
from idlescope.watching.rows import NO_DEMAND, joined
from tests.conftest import FIXTURES
from tests.make.engine_loops import (
    DECODE,
    MS,
    Loop,
    sglang_overlapped,
    vllm_bursts,
    vllm_dummies,
    vllm_starved,
)
from tests.make.kineto_files import call, operation, write
from tests.make.watched_loops import REGULAR_NAMES, regular_rows


def analysed(tmp_path, events):
    (device,) = idlescope.analyze(
        idlescope.open(write(tmp_path / "t.json", events))
    ).results
    return device


def test_a_host_that_is_late_for_each_step_costs_each_step(tmp_path):
    loop = Loop()
    for _ in range(20):
        loop.wait(loop.launch(DECODE))
    spread = analysed(tmp_path, loop.events).spread
    assert (spread.kind, spread.pauses, spread.no_demand_ns) == ("per step", 0, 0)
    assert 8 <= spread.half_in_steps <= 11


def test_two_stops_within_a_span_are_two_pauses(tmp_path):
    device = analysed(tmp_path, sglang_overlapped(60, {20: 400 * MS, 40: 400 * MS}))
    spread = device.spread
    assert (spread.kind, spread.pauses, spread.half_in_steps) == ("pauses", 2, 1)
    assert spread.pause_ns == pytest.approx(397 * MS, rel=0.01)
    assert spread.longest_pct == pytest.approx(50, abs=0.1)  # of few gaps: the longest one
    assert (spread.doing, spread.is_inside_span) == ("forward (scheduler.run_batch)", True)


def test_gaps_between_bursts_in_which_the_host_does_nothing_are_no_demand(tmp_path):
    spread = analysed(tmp_path, vllm_bursts(5, 10, 200 * MS)).spread
    assert (spread.kind, spread.pauses, spread.no_demand_gaps) == ("no demand", 0, 4)


def test_without_spans_nothing_tells_a_pause_from_a_lack_of_requests(tmp_path):
    loop = Loop()
    for step in range(30):
        loop.pause(200 * MS if step == 15 else 0)
        loop.wait(loop.launch())
    spread = analysed(tmp_path, loop.events).spread
    assert (spread.kind, spread.doing) == ("pauses", "nothing that was recorded")


def test_steps_of_which_a_device_has_no_record_make_no_pauses(tmp_path):
    """Two of three of the engine's steps do no work on this GPU: their 0 ns are not usual."""
    loop = Loop()
    for step in range(30):
        if step % 3 == 0:
            loop.wait(loop.launch(DECODE))
        else:
            loop.pause(3 * MS, DECODE)
            loop.pause(1 * MS)
    spread = analysed(tmp_path, loop.events).spread
    assert (spread.kind, spread.pauses, spread.no_demand_gaps) == ("per step", 0, 0)


def test_iterations_that_scheduled_nothing_are_no_demand(tmp_path):
    device = analysed(tmp_path, vllm_starved(rounds=4, worked=5, empty=30))
    assert (len(device.steps), len(device.empty)) == (20, 120)
    assert device.spread.kind == "no demand"


def test_gaps_that_dummy_batches_end_are_no_demand(tmp_path):
    device = analysed(tmp_path, vllm_dummies(worked=5, dummies=15))
    assert device.spread.kind == "no demand"


@pytest.mark.parametrize(
    "name", ["vllm_8b_sync", "vllm_1b_async", "sglang_8b_sync", "loop_eager"]
)
def test_real_loops_cost_each_step(name):
    (device,) = idlescope.analyze(idlescope.open(FIXTURES / f"{name}.json.gz")).results
    assert device.spread.kind == "per step"
    assert device.spread.pauses == device.spread.no_demand_ns == 0


def test_lengths_of_gaps_add_up_to_idle_by_cause(tmp_path):
    analysis = idlescope.analyze(idlescope.open(FIXTURES / "vllm_8b_sync.json.gz"))
    (device,) = analysis.to_json()["devices"]
    lengths = device["gap_lengths"]
    assert sum(some["gaps"] for some in lengths) == device["gaps"]
    for cause, ns in device["cause_ns"].items():
        assert sum(some["cause_ns"][cause] for some in lengths) == ns
    assert [some["from_ns"] for some in lengths[1:]] == [
        some["to_ns"] for some in lengths[:-1]
    ]
    assert lengths[-1]["to_ns"] is None


def stalled_trace(*told_ms):
    """Return a watched loop of 5 ms a step that stands still twice, 100 ms each time, with the times
    (ms, from its start) that it says were without requests."""
    rows = regular_rows(60)
    start_ms = (rows.steps["start"] - rows.steps["start"][0]) // MS
    behind = np.where(start_ms >= 200, 100, 0) + np.where(start_ms >= 100, 100, 0)

    def later(table, step):
        moved = behind[step] * MS
        return table | {name: table[name] + moved for name in ("start", "end")}

    calls = later(rows.calls, rows.calls["step"])
    phases = later(rows.phases, np.tile(np.arange(60), 2))
    begin = rows.steps["start"][0]
    told = {"name": [NO_DEMAND], "step": [-1]}
    told |= (
        {"start": [begin + told_ms[0] * MS], "end": [begin + told_ms[1] * MS]}
        if told_ms
        else {}
    )
    if told_ms:
        phases = joined([phases, {name: np.array(told[name]) for name in phases}])
    moved = Kept(
        steps=later(rows.steps, np.arange(60)),
        calls=calls,
        phases=phases,
        operations=later(rows.operations, rows.operations["step"]),
    )
    said = Watched("events", (), "vllm", "0.24.0", None, steps_in_phases=False)
    end = int(moved.steps["end"][-1])
    return trace_of(moved, end, REGULAR_NAMES, (), Device(0, 0, "a GPU"), said, 10**18)


@pytest.mark.parametrize(
    ("told_ms", "pauses", "no_demand_gaps"),
    [((), 0, 2), ((100, 200), 1, 0)],
    ids=["it says nothing", "it says so of one"],
)
def test_a_loop_that_says_when_there_is_no_request_stands_still_otherwise(
    told_ms, pauses, no_demand_gaps
):
    (device,) = idlescope.analyze(stalled_trace(*told_ms)).results
    assert (device.spread.pauses, device.spread.no_demand_gaps) == (pauses, no_demand_gaps)
    assert device.spread.no_demand_ns >= 95 * MS


def test_pauses_that_are_not_the_hosts_are_no_garbage_collection(tmp_path):
    """What ends a pause was launched long before and waited, or has no launch that was recorded."""
    for launched in (True, False):
        loop = Loop()
        for _ in range(30):
            loop.wait(loop.launch())
        last = loop.events[-1]["ts"] * 1000 + loop.events[-1]["dur"] * 1000
        begun = round(last) + 400 * MS
        late = [
            operation(begun + k * 20_000, begun + k * 20_000 + 15_000, "kernel", 5000)
            for k in range(9)
        ]
        if launched:
            late.append(
                call(round(last) - 20_000, round(last) - 15_000, 5000, "cudaGraphLaunch")
            )
        device = analysed(tmp_path, loop.events + late)
        assert device.spread.kind == "pauses"
        assert "host was in" not in device.verdict.text
        assert "garbage" not in device.verdict.text
