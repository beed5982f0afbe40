"""What recorded servers do without the profiler: as their own load tests measured it on H200s.

The step times are those of `tests/fixtures/README.md`: milliseconds per step, measured unprofiled.
"""

from __future__ import annotations

import pytest

import idlescope
from idlescope.errors import ConfigError
from idlescope.trace.open import open_trace
from idlescope.trace.unprofiled import UnprofiledStep, write_beside
from tests.conftest import FIXTURES
from tests.make.engine_loops import MS, sglang_overlapped
from tests.make.kineto_files import write

# fixture, step unprofiled, asynchronous step unprofiled, idle unprofiled in % (None: not measured)
SYNCHRONOUS = [
    ("vllm_8b_sync.json.gz", 8.1, 6.16, 27),
    ("vllm_8b_tp2_sync/rank0.json.gz", 6.3, 4.7, None),
    ("sglang_8b_sync.json.gz", 7.55, 6.3, 18),
    ("sglang_8b_sync_stacks.json.gz", 7.8, 6.3, None),
]


def analysed(name, step_ms=None):
    (device,) = idlescope.analyze(open_trace(FIXTURES / name), step_ms=step_ms).results
    return device


@pytest.mark.parametrize(("name", "step_ms", "asynchronous_ms", "idle_pct"), SYNCHRONOUS)
class TestSynchronousServers:
    def test_the_asynchronous_step_is_predicted(
        self, name, step_ms, asynchronous_ms, idle_pct
    ):
        prediction = analysed(name, step_ms).prediction
        assert prediction.base.step_ns / 1e6 == pytest.approx(step_ms, rel=0.005)
        assert prediction.predicted.step_ns / 1e6 == pytest.approx(
            asynchronous_ms, rel=0.05
        )

    def test_idle_without_the_profiler_holds_what_was_measured(
        self, name, step_ms, asynchronous_ms, idle_pct
    ):
        observer = analysed(name, step_ms).observer
        assert observer.known
        if idle_pct is not None:
            assert observer.idle_low_pct - 1.5 <= idle_pct <= observer.idle_high_pct + 1.5

    def test_where_it_is_not_known_an_estimate_holds_it(
        self, name, step_ms, asynchronous_ms, idle_pct
    ):
        observer = analysed(name).observer
        assert not observer.known
        assert observer.step_ns / 1e6 == pytest.approx(step_ms, rel=0.08)
        assert "under the profiler" in observer.text()


def test_a_host_slower_than_its_gpu_is_estimated_without_the_profiler():
    """vLLM 1B, asynchronous: 4.6 ms recorded, 3.3 to 3.6 by the server's own load test."""
    device = analysed("vllm_1b_async.json.gz")
    assert device.prediction.unprofiled.step_ns / 1e6 == pytest.approx(3.45, rel=0.1)


def test_a_host_that_is_slower_under_the_profiler_alone_is_not_the_slower_side():
    """SGLang 1B with overlap: 2.2 ms recorded; 4.14 s without a profiler for 2,296 passes."""
    recorded = analysed("sglang_1b_async.json.gz")
    assert "the host is the slower side" in recorded.verdict.text
    device = analysed("sglang_1b_async.json.gz", 1.803)
    assert device.verdict.kind == device.batching.kind == "asynchronous"
    assert "slower side" not in device.verdict.text
    assert device.observer.idle_low_pct < 3 < device.observer.idle_high_pct < 6


@pytest.mark.parametrize(
    ("name", "cupti_ms"),
    # per step, by the records of launch calls: of a graph's all beyond 0.02 ms, and 19, 19 and 33
    # kernels and some copies
    [("sglang_8b_watched", 0.51), ("vllm_8b_watched", 0.23), ("vllm_1b_watched", 0.18)],
)
def test_a_watch_by_cupti_is_told_without_what_cupti_adds(name, cupti_ms):
    device = analysed(name)
    prediction, observer = device.prediction, device.observer
    assert prediction.base is prediction.unprofiled
    without_ms = (observer.recorded_step_ns - observer.step_ns) / 1e6
    assert without_ms == pytest.approx(cupti_ms, abs=0.02)
    assert "Without CUPTI the device is idle" in observer.text()
    assert observer.idle_low_pct < observer.idle_high_pct < device.idle_pct
    # what is predicted is without it, too
    assert f"instead of {prediction.base.step_ns / 1e6:.2f}" in prediction.text() or (
        prediction.depth == 2
    )


def test_the_options_that_made_it_dear_are_named():
    assert "stacks and shapes" in analysed("sglang_8b_sync_stacks.json.gz").observer.text()
    assert "stacks" not in analysed("sglang_8b_sync.json.gz").observer.text()


def test_what_capture_noted_beside_a_trace_counts(tmp_path):
    trace = tmp_path / "sglang_8b_sync.json.gz"
    trace.write_bytes((FIXTURES / trace.name).read_bytes())
    write_beside([trace], UnprofiledStep(7.55, 7.5, 7.6, "the server's counters"), {})
    (device,) = idlescope.analyze(open_trace(trace)).results
    assert device.observer.known
    assert "the server's counters" in device.observer.text()


@pytest.mark.parametrize("also_there", [False, True])
def test_what_capture_noted_of_a_trace_that_was_renamed_is_told(tmp_path, also_there):
    """Nothing is said where the trace that it is of is still there: this is another."""
    named, renamed = tmp_path / "named.json.gz", tmp_path / "renamed.json.gz"
    for path in (renamed, named)[: 1 + also_there]:
        path.write_bytes((FIXTURES / "sglang_8b_sync.json.gz").read_bytes())
    write_beside([named], UnprofiledStep(7.55, 7.5, 7.6, "the server's counters"), {})
    warnings = idlescope.analyze(open_trace(renamed)).warnings
    told = [text for text in warnings if "give --step-ms 7.55" in text]
    assert len(told) == (not also_there)
    assert not also_there or not any("unprofiled.json" in text for text in warnings)


@pytest.mark.parametrize("pauses", [{}, {30: 400 * MS}, {20: 40 * MS, 45: 60 * MS}])
def test_a_pause_has_no_part_in_what_a_recorded_step_takes(tmp_path, pauses):
    """Nor does it say that the device is less busy without the profiler."""
    path = write(tmp_path / "t.json", sglang_overlapped(60, pauses))
    (device,) = idlescope.analyze(open_trace(path), step_ms=4.1).results
    (usual,) = idlescope.analyze(
        open_trace(write(tmp_path / "usual.json", sglang_overlapped(60, {}))), step_ms=4.1
    ).results
    assert (device.spread.pauses > 0) == bool(pauses)
    for figure in ("recorded_step_ns", "busy_ns", "idle_low_pct"):
        expected = getattr(usual.observer, figure)
        assert getattr(device.observer, figure) == pytest.approx(
            expected, rel=0.02, abs=0.1
        )


def test_a_step_clock_needs_no_correction():
    """Recordings of our own are not made by a profiler."""
    run = idlescope.run(
        idlescope.RunConfig(model="1b", tokens=20, batch_size=4, host_ms=1.0)
    )
    assert all(
        device.observer is None
        for mode in run.modes.values()
        for device in mode.analysis.results
    )


@pytest.mark.parametrize("step_ms", [0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(step_ms):
    with pytest.raises(ConfigError, match="--step-ms"):
        analysed("loop_sync.json.gz", step_ms)


def test_a_faster_host_never_makes_it_slower():
    results = []
    for host in (0.0, 0.25, 0.5, 1.0, 2.0):
        trace = open_trace(FIXTURES / "sglang_8b_sync.json.gz")
        (prediction,) = idlescope.predict(idlescope.analyze(trace, step_ms=7.55), host=host)
        results.append(prediction.predicted.step_ns)
    assert results == sorted(results)
