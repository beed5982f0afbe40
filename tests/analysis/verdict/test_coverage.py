"""Where records are missing the verdict is "cannot tell", with the reason."""

from __future__ import annotations

import json

import pytest

import idlescope
from idlescope.trace.open import open_trace
from tests.make.kineto_files import call, document, operation, span, write

MS = 1_000_000


def analysed(tmp_path, events, **metadata):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document(events, **metadata)))
    analysis = idlescope.analyze(open_trace(path))
    return analysis.results[0], analysis.warnings


def steady(steps=6, graph=True):
    """Kernels of 1 ms, each launched 1 ms after the last one ended: half idle, all the host's."""
    events = []
    for i in range(steps):
        at = i * 2 * MS
        events += [
            span(at, at + 2 * MS, f"ProfilerStep#{i}"),
            call(
                at + MS - 5000,
                at + MS - 2000,
                i + 1,
                "cudaGraphLaunch" if graph else "cudaLaunchKernel",
            ),
            operation(at + MS, at + 2 * MS, correlation=i + 1),
        ]
    return events


def test_a_sound_trace_has_a_verdict(tmp_path):
    device, warnings = analysed(tmp_path, steady())
    assert device.verdict.kind == "host-bound"
    c = device.coverage
    assert (
        c.linked_pct,
        c.graph_mode,
        c.graph_launches,
        c.launches_without_operations,
    ) == (
        100.0,
        "node-level",
        6,
        0,
    )
    assert not warnings


def test_a_graph_capture_is_no_execution(tmp_path):
    events = [
        call(0, 10, 0, "hipStreamBeginCapture"),
        call(90_000, 90_010, 0, "hipStreamEndCapture"),
    ]
    events += [
        call(1000 + i * 100, 1050 + i * 100, 100 + i, "hipLaunchKernel") for i in range(50)
    ]
    events += [call(100_000, 100_010, 1), operation(100_100, 100_200, correlation=1)]
    events += [call(20, 30, 2), operation(100, 200, correlation=2)]
    device, _ = analysed(tmp_path, events)
    assert device.coverage.launches_in_capture == 50
    assert device.verdict.kind == "cannot tell"
    assert device.verdict.text.startswith(
        "This is the capture of a CUDA graph, not an execution: 50 launches"
    )


def test_what_is_put_into_a_graph_is_not_lost(tmp_path):
    events = steady()
    events += [
        call(100, 110, 0, "cudaStreamBeginCapture_v10000"),
        *[call(200 + i * 10, 205 + i * 10, 500 + i) for i in range(5)],
        call(300, 310, 0, "cudaStreamEndCapture_v10000"),
    ]
    device, warnings = analysed(tmp_path, events)
    coverage = device.coverage
    assert coverage.launches_in_capture == 5
    assert (coverage.launches_without_operations, coverage.launches_lost) == (0, 0)
    assert device.verdict.kind == "host-bound"
    assert not warnings


def test_what_is_launched_after_a_capture_and_never_ran_is_lost(tmp_path):
    events = steady()
    events += [
        call(100, 110, 0, "cudaStreamBeginCapture_v10000"),
        call(300, 310, 0, "cudaStreamEndCapture_v10000"),
        *[call(400 + i * 10, 405 + i * 10, 500 + i) for i in range(5)],
    ]
    device, _ = analysed(tmp_path, events)
    assert device.coverage.launches_in_capture == 0
    assert device.coverage.launches_lost == 5


def test_waiting_for_a_device_that_has_nothing_to_do_means_missing_records(tmp_path):
    events = steady()
    at = 6 * 2 * MS
    events += [
        call(at, at + 300 * MS, 0, "hipMemcpyWithStream"),
        call(at + 301 * MS, at + 301 * MS + 10, 99),
        operation(at + 302 * MS, at + 303 * MS, correlation=99),
    ]
    device, _ = analysed(tmp_path, events)
    assert device.coverage.blocked_in_gaps_ns == 299 * MS
    assert device.verdict.kind == "cannot tell"
    assert (
        "the host waits 299 ms for the device, in calls that fall into gaps"
        in device.verdict.text
    )


def test_waking_up_late_is_no_missing_record(tmp_path):
    events = steady()
    for i in range(6):
        at = i * 2 * MS
        events.append(call(at + MS, at + 2 * MS + 900_000, 0, "cudaEventSynchronize"))
    device, _ = analysed(tmp_path, events)
    assert device.coverage.blocked_in_gaps_ns == 0
    assert device.verdict.kind != "cannot tell"


def test_waiting_for_another_device_is_no_missing_record(tmp_path):
    events = [*steady(), call(9, 10, 50), operation(0, 40 * MS, device=1, correlation=50)]
    events += [
        call(12 * MS, 40 * MS, 0, "cudaStreamSynchronize"),
        call(41 * MS - 10, 41 * MS, 60),
    ]
    device, _ = analysed(tmp_path, [*events, operation(41 * MS, 42 * MS, correlation=60)])
    assert device.device.index == 0
    assert device.coverage.blocked_in_gaps_ns == 0


def test_a_copy_that_blocks_until_it_has_run_waits_for_itself(tmp_path):
    events = steady()
    at = 12 * MS
    events += [
        call(at, at + 30 * MS, 99, "cudaMemcpy"),
        operation(at + 29 * MS, at + 30 * MS, "memcpy", 99),
    ]
    device, _ = analysed(tmp_path, events)
    assert device.coverage.blocked_in_gaps_ns == 0


def test_ids_of_another_process_do_not_hide_dropped_records(tmp_path):
    bare = [e for e in steady() if e["cat"] != "kernel"]
    (tmp_path / "r").mkdir()
    for name, events in (
        ("a.json", [*bare, call(1, 2, 99), operation(5, 9, correlation=99)]),
        ("b.json", steady()),
    ):
        (tmp_path / "r" / name).write_text(json.dumps(document(events)))
    without, whole = idlescope.analyze(open_trace(tmp_path / "r")).results
    assert without.coverage.graph_launches_without_operations == 6
    assert without.verdict.kind == "cannot tell"
    assert whole.coverage.graph_launches_without_operations == 0


def test_kernels_without_records_are_dropped_records(tmp_path):
    events = [
        e
        for e in steady(20, graph=False)
        if not (e["cat"] == "kernel" and e["args"]["correlation"] % 2)
    ]
    device, _ = analysed(tmp_path, events)
    assert (device.coverage.launches_lost, device.coverage.launches) == (10, 20)
    assert device.verdict.text.startswith("10 of 20 launches have no operation recorded")


def test_graph_launches_without_operations_are_dropped_records(tmp_path):
    events = [
        e
        for e in steady(10)
        if not (e["cat"] == "kernel" and e["args"]["correlation"] in (3, 4))
    ]
    device, _ = analysed(tmp_path, events)
    assert device.coverage.graph_launches_without_operations == 2
    assert device.coverage.steps_without_operations == 2
    assert "2 of 10 graph launches have no operations under them" in device.verdict.text


def test_half_of_the_launches_missing_says_so(tmp_path):
    events = [
        e
        for e in steady(10, graph=False)
        if not (e["cat"] == "cuda_runtime" and e["args"]["correlation"] % 2)
    ]
    device, _ = analysed(tmp_path, events)
    assert device.verdict.kind == "cannot tell"
    assert device.verdict.text.startswith(
        "Only 50.0 % of the device's operations have a known launch"
    )


def test_work_in_flight_when_the_recording_began_is_recognised(tmp_path):
    events = [{**e, "ts": e["ts"] + 3000} for e in steady(8)]
    device, warnings = analysed(tmp_path, [operation(2000, 2500), *events])
    assert (
        device.coverage.launched_before_recording == device.coverage.in_flight_at_start == 1
    )
    assert device.verdict.kind == "host-bound"
    assert "1 operations were launched before the recording began" in warnings[0]


def test_a_first_gap_of_the_profilers_own_is_pointed_out(tmp_path):
    events = [
        {**e, "ts": e["ts"] + (60_000 if e["name"] != "first" else 0)} for e in steady(8)
    ]
    events += [call(0, 10, 90), operation(100, 200, correlation=90)]
    device, warnings = analysed(
        tmp_path, [*events, span(0, 60 * MS + 100, "ProfilerStep#0")]
    )
    assert device.longest[0].step == 0
    assert any(
        "probably the profiler starting up; leave it out with --window steps:1-7" in w
        for w in warnings
    )


def test_a_step_that_is_cut_off_is_pointed_out(tmp_path):
    events = []
    for i in range(6):
        at = i * 100_000
        events.append(span(at, at + 100_000, f"ProfilerStep#{i}"))
        for k in range(10 if i < 5 else 3):
            events.append(call(at + k * 1000, at + k * 1000 + 100, 100 * i + k + 1))
            events.append(
                operation(
                    at + k * 1000 + 200, at + k * 1000 + 700, correlation=100 * i + k + 1
                )
            )
    device, warnings = analysed(tmp_path, events)
    assert (device.coverage.first_step_clipped, device.coverage.last_step_clipped) == (
        False,
        True,
    )
    assert any("the last step is cut off" in w for w in warnings)


def test_early_and_empty_operations_are_counted(tmp_path):
    events = [
        *steady(),
        call(13 * MS, 13 * MS + 10, 70),
        operation(12 * MS + 5, 12 * MS + 5, correlation=70),
    ]
    device, warnings = analysed(tmp_path, events)
    assert (
        device.coverage.operations_before_launch,
        device.coverage.zero_duration_operations,
    ) == (
        1,
        1,
    )
    assert any("1 operations start before their launch does" in w for w in warnings)


def test_what_the_profiler_says_that_it_lost_is_believed(tmp_path):
    device, _ = analysed(
        tmp_path, steady(), WARNING=["Dropped 12 GPU records", "Something else"]
    )
    assert device.coverage.dropped == ("Dropped 12 GPU records",)
    assert device.verdict.text.startswith(
        "The profiler lost records (Dropped 12 GPU records)"
    )


class TestRealTraps:
    """The traps among the real traces are refused, each for its own reason."""

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            (
                "vllm_graph_capture_mi300.json.gz",
                "This is the capture of a CUDA graph, not an execution",
            ),
            (
                "sglang_qwen3_8b_decode_mi300x.json.gz",
                "Records are missing: the host waits 462 ms for the device",
            ),
        ],
    )
    def test_it_is_refused(self, shared_traces, name, reason):
        for device in idlescope.analyze(open_trace(shared_traces / name)).results:
            assert device.verdict.kind == "cannot tell"
            assert device.verdict.text.startswith(reason)


def test_a_trace_of_the_host_alone_is_refused_with_advice(tmp_path):
    path = write(tmp_path / "t.json", [span(0, 10, "aten::add", "cpu_op")])
    with pytest.raises(
        idlescope.IdlescopeError,
        match=r"t\.json holds no device operations, only host events: record",
    ):
        idlescope.analyze(open_trace(path))


def freeing(steps=10, before=()):
    """Steps of 2 ms, each after a cudaFree of 4 ms that has nothing to wait for."""
    events = [*before]
    for i in range(steps):
        at = i * 6 * MS
        events += [
            call(at, at + 4 * MS, 0, "cudaFree"),
            call(at + 4 * MS, at + 4 * MS + 5000, i + 1),
            operation(at + 4 * MS + 9000, at + 6 * MS, correlation=i + 1),
            call(at + 4 * MS + 6000, at + 6 * MS, 0, "cudaStreamSynchronize"),
        ]
    return events


def test_a_slow_free_with_nothing_in_flight_is_the_hosts_own_time(tmp_path):
    device, _ = analysed(tmp_path, freeing())
    assert device.coverage.blocked_in_gaps_ns == 0
    assert device.verdict.kind == "synchronous"
    assert "100 % of the host's part is call: cudaFree" in device.verdict.text


def test_a_free_after_a_launch_without_a_record_may_wait_for_it(tmp_path):
    events = freeing()
    for i in range(1, 10):
        events.append(call(i * 6 * MS - 1000, i * 6 * MS - 500, 100 + i))
    events = [e for e in events if e["name"] != "cudaStreamSynchronize"]
    device, _ = analysed(tmp_path, events)
    assert device.coverage.blocked_in_gaps_ns == 9 * 3 * MS
    assert device.verdict.kind == "cannot tell"


def test_only_the_window_that_is_asked_for_is_covered(tmp_path):
    bare = [e for e in steady(20, graph=False) if e["cat"] != "kernel" or e["ts"] > 20_000]
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document([operation(0, 1000), call(0, 10, 0), *bare])))
    trace = open_trace(path)
    (whole,) = idlescope.analyze(trace).results
    assert whole.verdict.kind == "cannot tell"
    (part,) = idlescope.analyze(trace, window="time:21ms-40ms").results
    assert (part.coverage.launches_lost, part.coverage.linked_pct) == (0, 100.0)
    assert part.verdict.kind == "host-bound"


def test_much_work_begun_before_the_recording_is_left_out_of_the_verdict(tmp_path):
    begun = [operation(i * 10_000, i * 10_000 + 9_000) for i in range(100)]
    events = [{**e, "ts": e["ts"] + 1_500} for e in steady(60, graph=False)]
    device, _ = analysed(tmp_path, [*begun, *events])
    assert device.coverage.linked_pct < 40
    assert device.verdict.text.startswith(
        "Without its first 1.0 ms, which ran what was launched before the recording began "
        "(--window time:0.999ms-121.500ms): The device is idle 5"
    )
    assert device.verdict.kind == "host-bound"
