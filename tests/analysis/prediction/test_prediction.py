"""What a prediction says, in words and as JSON."""

from __future__ import annotations

import numpy as np
import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.prediction.predict import asynchronous
from idlescope.analysis.prediction.replays import Replays
from tests.conftest import FIXTURES
from tests.make.scenarios import scenario

MS = 1_000_000


def analysed(name):
    return idlescope.analyze(idlescope.open(FIXTURES / name))


def replays(name):
    analysis = analysed(name)
    return Replays(analysis.trace, analysis.results[0])


def test_an_eager_loop_is_shown_what_graphs_are_worth_and_one_with_graphs_is_not():
    (eager,) = idlescope.predict(analysed("loop_eager.json.gz"))
    assert eager.predicted.step_ns == pytest.approx(
        eager.recorded.step_ns, rel=0.01
    )  # the host is the limit
    graphs = {lever.name: lever.predicted for lever in eager.levers}["CUDA graphs"]
    kernels = float(replays("loop_eager.json.gz").costs.kernels.mean())
    assert kernels < graphs.step_ns < 0.35 * eager.recorded.step_ns
    assert "Further savings: CUDA graphs" in eager.text()
    (graph,) = idlescope.predict(analysed("loop_sync.json.gz"))
    assert "CUDA graphs" not in {lever.name for lever in graph.levers}


def test_a_host_that_is_the_limit_is_said_to_be():
    later = run(
        RunConfig(
            model="1b", tokens=50, batch_size=8, host_ms=5, device_ms=3, device="modelled"
        )
    ).modes["async"]
    (one,) = idlescope.predict(later.analysis)
    assert (one.depth, len(one.host_bound)) == (2, 50)
    assert one.exposed_ns == pytest.approx(2.0 * MS, rel=0.05)
    assert one.text().startswith("Asynchronous already: 1.9")
    assert "in 50 of 50 steps the host works longer than the device computes" in one.text()
    assert asynchronous(later.result) is None


def test_steps_with_more_host_work_than_compute_are_named():
    drawn = scenario(7)
    later = drawn.run("async")
    (one,) = idlescope.predict(later.analysis)
    costs = Replays(later.trace, later.result).costs
    slow = np.flatnonzero(costs.host > costs.compute)
    assert one.host_bound == tuple(slow.tolist())
    assert 0 < slow.size < len(costs)
    assert (
        f"in {slow.size} of {len(costs)} steps the host works longer than the device computes (step"
        in one.text()
    )


def test_a_run_predicts_in_its_analysis_what_it_predicts_in_its_summary():
    result = run(
        RunConfig(
            model="1b", tokens=50, batch_size=8, host_ms=5, device_ms=3, device="modelled"
        )
    )
    short = result.modes["sync"].analysis.to_json()["devices"][0]["predicted"]
    summary = result.summary()["predicted"]
    assert {key: short[key] for key in summary} == summary
    assert (short["recorded_depth"], short["depth"], short["host_bound_steps"]) == (
        1,
        2,
        50,
    )
    assert (
        result.modes["async"].analysis.to_json()["devices"][0]["predicted"][
            "recorded_depth"
        ]
        == 2
    )


def test_a_prediction_shows_itself_in_a_sentence_and_as_a_table():
    (one,) = idlescope.predict(analysed("loop_sync.json.gz"))
    assert repr(one) == f"<Prediction of device 0: {one.text()}>"
    html = one._repr_html_()
    assert html.startswith("<p><b>Asynchronous")
    assert html.count("<tr>") == 1 + len(one.cases())
