"""Traces whose steps cannot be replayed are refused in a sentence."""

from __future__ import annotations

import pytest

import idlescope
from idlescope.analysis.prediction.predict import asynchronous
from idlescope.errors import TraceError
from tests.conftest import FIXTURES
from tests.make.kineto_files import call, operation, write
from tests.make.serving_loops import Plan, recorded
from tests.make.views import measured

MS = 1_000_000


@pytest.mark.parametrize(
    ("window", "reason"),
    [("steps:8-9", "only 2 steps are"), ("steps:8-8", "only 1 step is")],
)
def test_too_few_steps_are_refused_in_a_sentence(window, reason):
    analysis = idlescope.analyze(
        idlescope.open(FIXTURES / "loop_sync.json.gz"), window=window
    )
    with pytest.raises(
        TraceError, match=f"cannot tell what device 0 would do: {reason} in the trace"
    ):
        idlescope.predict(analysis)
    assert analysis.results[0].prediction is None
    assert asynchronous(analysis.results[0]) is None


def test_a_trace_without_steps_or_launches_is_refused(tmp_path):
    events = [operation(i * MS, i * MS + 500_000, correlation=i + 1) for i in range(20)]
    analysis = idlescope.analyze(idlescope.open(write(tmp_path / "a.json", events)))
    with pytest.raises(
        TraceError, match=r"cannot tell what device 0 would do: .*known launch"
    ):
        idlescope.predict(analysis)
    launched = events + [call(i * MS - 30_000, i * MS - 20_000, i + 1) for i in range(20)]
    analysis = idlescope.analyze(idlescope.open(write(tmp_path / "b.json", launched)))
    with pytest.raises(
        TraceError, match="cannot tell what device 0 would do: no steps are known"
    ):
        idlescope.predict(analysis)


def test_a_trace_that_waits_for_what_it_does_not_show_is_refused(shared_traces):
    analysis = idlescope.analyze(
        idlescope.open(shared_traces / "dlrm_graphlaunch_v100.json.gz")
    )
    with pytest.raises(
        TraceError, match="they wait for something that the trace does not show"
    ):
        idlescope.predict(analysis)


def test_a_first_step_that_is_cut_off_leaves_the_latency_of_the_others_alone(tmp_path):
    """Each step waits behind the one before, be that whole or not: that is no latency of launches."""
    events = recorded(Plan(depth=2))
    kernels = [event for event in events if event["cat"] == "kernel"]
    cut = [event for event in events if event not in kernels[:7]]
    whole, short = (measured(tmp_path, some).prediction for some in (events, cut))
    assert short.recorded.steps == whole.recorded.steps - 1
    assert short.predicted.step_ns == pytest.approx(whole.predicted.step_ns, rel=0.01)
