"""Figures of a part of a trace: windows by range, steps and time; devices and processes; short gaps."""

from __future__ import annotations

import json
import re

import pytest

import idlescope
from idlescope.analysis.steps import window
from idlescope.errors import ConfigError
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, operation, span, write

EVENTS = [
    *(e for i in range(5) for e in (
        span(i * 1000, i * 1000 + 1000, f"ProfilerStep#{i + 3}"),
        call(i * 1000 + 100, i * 1000 + 150, i + 1),
        operation(i * 1000 + 200, i * 1000 + 700, correlation=i + 1),
    )),
    span(1500, 3300, "interesting"),
    call(50, 60, 77), operation(60, 5000, device=1, correlation=77),
]  # fmt: skip


@pytest.fixture
def trace(tmp_path):
    return open_trace(write(tmp_path / "t.json", EVENTS))


def figures(trace, text):
    (device,) = idlescope.analyze(trace, window=text, devices=[0]).results
    d = device.to_json()
    assert d["active_ns"] + d["idle_ns"] == d["window_ns"]
    assert sum(d["cause_ns"].values()) == d["idle_ns"]
    assert sum(d["host_ns"].values()) == d["cause_ns"]["host"]
    return device, (
        d["window"]["start_ns"],
        d["window"]["end_ns"],
        d["active_ns"],
        d["gaps"],
    )


def test_first_to_last_is_the_window_unless_told(trace):
    assert figures(trace, "first-last")[1] == (200, 4700, 2500, 4)


def test_a_range_is_a_window_and_clips_what_it_cuts(trace):
    device, got = figures(trace, "range:interesting")
    assert got == (1500, 3300, 200 + 500 + 100, 2)
    assert device.gaps.totals() == {
        "host": 800,
        "launch": 200,
        "queued": 0,
        "unattributed": 0,
    }
    assert device.steps.number.tolist() == [4, 5, 6]


def test_ranges_of_one_name_are_a_window_from_the_first_to_the_last(tmp_path):
    events = [*EVENTS, span(100, 900, "twice"), span(2100, 2600, "twice")]
    device, got = figures(open_trace(write(tmp_path / "t.json", events)), "range:twice")
    assert got[:2] == (100, 2600)
    assert "from the first to the last of 2 ranges" in device.window.note


def test_steps_are_a_window_from_their_first_operation_to_their_last(trace):
    device, got = figures(trace, "steps:4-5")
    assert got == (1200, 2700, 1000, 1)
    assert device.window.asked == "steps:4-5"


@pytest.mark.parametrize(
    "text",
    ["time:1us-2us", "time:0.001-0.002ms", "time:1000ns-2us", "time:0.001ms-0.002ms"],
)
def test_times_count_from_the_first_operation_of_the_trace(trace, text):
    _, got = figures(trace, text)
    assert got[:2] == (1060, 2060)


def test_a_window_that_ends_in_idle_time_is_ended_by_what_follows(trace):
    device, _ = figures(
        trace, "time:0ns-2900ns"
    )  # to 2960: within the gap that the launch at 3100 ends
    assert (int(device.gaps.start[-1]), int(device.gaps.end[-1])) == (2700, 2960)
    assert device.gaps.host[-1] == 260


def test_a_window_beyond_the_last_operation_is_unattributed(trace):
    device, got = figures(trace, "time:0ns-6us")
    assert got[1] == 6060
    assert device.gaps.unattributed[-1] == 6060 - 4700
    assert device.longest[0].ended_by == ""
    analysis = idlescope.analyze(trace, window="time:0ns-6us", devices=[0])
    assert analysis.gaps["ended_by"].iloc[-1] == ""
    assert analysis.gaps["launched_by"].iloc[-1] == ""


@pytest.mark.parametrize(
    "text",
    ["all", "range:", "steps:5", "steps:5-4", "time:a-b", "time:2us-1us", "time:1us-1us", "steps:-1-2", "range:none",
     "steps:90-99", "time:5s-6s", f"steps:1-{'9' * 5_000}", f"time:0-{'9' * 5_000}ms", f"time:0-1.{'9' * 5_000}ms"],
)  # fmt: skip
def test_what_is_no_window_is_refused(trace, text):
    with pytest.raises(ConfigError) as error:
        idlescope.analyze(trace, window=text)
    assert "\n" not in str(error.value)


def test_devices_and_processes_are_chosen(trace):
    assert [d.device.index for d in idlescope.analyze(trace).results] == [0, 1]
    assert [d.device.index for d in idlescope.analyze(trace, devices=[1]).results] == [1]
    assert len(idlescope.analyze(trace, process="50").results) == 2
    with pytest.raises(
        ConfigError, match="it has device 0 of process 50, device 1 of process 50"
    ):
        idlescope.analyze(trace, devices=[7])
    with pytest.raises(ConfigError):
        idlescope.analyze(trace, process="elsewhere")


def test_short_gaps_are_counted_but_not_listed(trace):
    analysis = idlescope.analyze(trace, devices=[0], min_gap_ns=501)
    (device,) = analysis.results
    assert device.to_json()["short_gaps"] == {"below_ns": 501, "gaps": 4, "idle_ns": 2000}
    assert (device.longest, len(analysis.gaps), device.occupancy.idle_ns) == ([], 0, 2000)


@pytest.mark.parametrize(
    ("text", "ns"), [("10us", 10_000), ("1.5ms", 1_500_000), ("0", 0), ("7 ns", 7)]
)
def test_lengths_of_time(text, ns):
    assert window.length_ns(text, "--min-gap") == ns


@pytest.mark.parametrize("text", ["", "ms", "-1ms", "1 hour"])
def test_what_is_no_length(text):
    with pytest.raises(ConfigError):
        window.length_ns(text, "--min-gap")


@pytest.mark.parametrize(
    ("window_text", "advice"),
    [
        ("time:200-350", "350 what? write time:200ms-350ms"),
        ("time:0-350", "350 what? write time:0ms-350ms"),
    ],
)
def test_a_time_without_a_unit_is_asked_for_one(trace, window_text, advice):
    with pytest.raises(ConfigError, match=re.escape(advice)):
        idlescope.analyze(trace, window=window_text)
    with pytest.raises(
        ConfigError, match=re.escape("--min-gap 10: 10 what? write 10us or 10ms")
    ):
        window.length_ns("10", "--min-gap")


def test_frames_say_the_same_as_the_json(trace):
    analysis = idlescope.analyze(trace)
    document = json.loads(json.dumps(analysis.to_json()))
    assert analysis.devices["idle_ns"].tolist() == [
        d["idle_ns"] for d in document["devices"]
    ]
    assert analysis.steps.to_dict("records") == document["steps"]
    gaps = analysis.gaps
    assert gaps.groupby("device")["length_ns"].sum().to_dict() == {0: 2000}
    assert (
        gaps["length_ns"]
        == gaps[["host_ns", "launch_ns", "queued_ns", "unattributed_ns"]].sum(axis=1)
    ).all()
    assert gaps["ended_by"].tolist() == ["k"] * 4
    assert set(gaps["launched_by"]) == {"cudaLaunchKernel"}
    assert gaps["step"].tolist() == [4, 5, 6, 7]
    host = analysis.host
    assert host["ns"].sum() == document["devices"][0]["cause_ns"]["host"]
    assert host["pct_of_host"].sum() == pytest.approx(100)


def test_the_longest_gaps_name_the_stack_that_the_host_was_in(tmp_path):
    events = [
        call(0, 10, 1), operation(20, 100, correlation=1, name="first"),
        span(0, 6000, "ProfilerStep#1"), span(150, 5000, "prepare_inputs"),
        span(200, 4000, "tokenizer.py(7): encode", "python_function"), span(300, 3900, "aten::tolist", "cpu_op"),
        call(5000, 5010, 2), operation(5100, 5200, correlation=2, name="second"),
        call(5050, 5060, 3), operation(5300, 5400, correlation=3, name="third"),
    ]  # fmt: skip
    (device,) = idlescope.analyze(open_trace(write(tmp_path / "t.json", events))).results
    host, queued = device.longest
    assert (host.length_ns, host.cause, host.step, host.ended_by) == (
        5000,
        "host",
        1,
        "second",
    )
    assert host.stack == (
        "ProfilerStep#1",
        "prepare_inputs",
        "tokenizer.py(7): encode",
        "aten::tolist",
    )
    assert (queued.length_ns, queued.cause) == (100, "queued")
    assert queued.stack == ("ProfilerStep#1", "cudaLaunchKernel")
    assert device.to_json()["longest_gaps"][0]["stack"] == list(host.stack)
