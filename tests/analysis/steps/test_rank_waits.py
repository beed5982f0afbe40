"""Time in which the host waits for other ranks is no host work, and no host can save it."""

from idlescope.analysis.steps.rank_waits import rank_waits, times_of
from tests.make.kineto_files import call, operation, span
from tests.make.views import measured

STEPS = 12


def steps(waits_ns):
    """Steps of TensorRT-LLM whose host waits for other ranks before it prepares and launches."""
    events, now = [], 1000
    for step in range(STEPS):
        ready = now + waits_ns
        events += [
            span(now, ready, "_can_queue"),
            span(ready, ready + 40_000, "_prepare_tp_inputs"),
            span(ready + 40_000, ready + 60_000, f"[Executor] _forward_step {step}"),
            call(ready + 50_000, ready + 55_000, step + 1, "cudaGraphLaunch"),
            operation(ready + 60_000, ready + 360_000, correlation=step + 1),
        ]
        wait = call(ready + 60_000, ready + 365_000, 0)
        events.append(wait | {"name": "cudaEventSynchronize"})
        now = ready + 370_000
    return events


def test_waiting_for_other_ranks_is_no_host_work(tmp_path):
    device = measured(tmp_path, steps(200_000))
    usual = sorted(device.steps.host.tolist())[STEPS // 2]
    assert usual < 100_000
    spans = rank_waits(device.view.trace, device.view.names)
    assert times_of(spans, int(spans.thread[0])).measure == STEPS * 200_000


def test_a_rank_whose_pace_others_set_is_not_foretold(tmp_path):
    device = measured(tmp_path, steps(200_000))
    assert device.prediction is None
    assert "Find what the other ranks do longer" in device.verdict.text


def test_a_short_wait_for_ranks_stays_however_fast_the_host(tmp_path):
    device = measured(tmp_path, steps(20_000))
    assert device.prediction is not None
    without_wait = measured(tmp_path, steps(0)).prediction
    saved = device.prediction.bound.step_ns - without_wait.bound.step_ns
    assert 0 <= saved <= 20_000
