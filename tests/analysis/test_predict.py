"""The prediction from a synchronous run against the asynchronous run itself, for one wave of requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idlescope import RunConfig, run
from idlescope.analysis.predict import asynchronous


@given(
    host_ms=st.floats(0.2, 20),
    device_ms=st.one_of(st.none(), st.floats(0.2, 20)),
    model=st.sampled_from(["1b", "8b"]),
    batch_size=st.sampled_from([1, 8, 32]),
    prompt_tokens=st.integers(1, 2000),
)
@settings(max_examples=25, deadline=None)
def test_predicted_time_is_within_two_per_cent_of_the_asynchronous_run(**options):
    result = run(RunConfig(tokens=40, device="modelled", max_batch_tokens=512, **options))
    predicted = result.predicted()
    assert predicted.total_ns == pytest.approx(result.modes["async"].total_ns, rel=0.02)
    assert predicted.low_ns <= predicted.total_ns <= predicted.high_ns


def test_the_published_bubble_is_predicted_away():
    result = run(RunConfig(tokens=512, host_ms=8.81, device_ms=27.89, device="modelled", mode="sync"))
    assert result.predicted().total_ns / 512 / 1e6 == pytest.approx(27.89, rel=0.005)


def test_a_trace_without_recorded_steps_predicts_nothing(shared_traces):
    import idlescope

    trace = idlescope.open(shared_traces / "vllm_decode_hipgraph_mi300.json.gz")
    assert asynchronous(trace, idlescope.analyze(trace).results[0]) is None
