"""The interval of a prediction holds the true time."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis.prediction.interval import MODELLED_ERROR, margin_ns
from idlescope.analysis.prediction.replays import Replays
from idlescope.analysis.prediction.what_if import WhatIf
from tests.conftest import FIXTURES
from tests.make.deep import of
from tests.make.scenarios import scenario

PUBLISHED = FIXTURES.parents[1] / "reports" / "h200" / "published"


def test_the_interval_is_that_of_the_steps_variation_and_the_replays_own_error():
    config = RunConfig(
        model="1b", tokens=300, batch_size=8, prompt_tokens=1000, device="modelled"
    )
    drawn = scenario(3)
    factor = drawn.factor / np.median(drawn.factor)
    sync = replace(drawn, config=config, factor=factor).run("sync")
    (one,) = idlescope.predict(sync.analysis, host=0.0)
    # With a free host the steps are the device's own: the margin is that of a sum of so many. The
    # prompt is no chance.
    compute = Replays(sync.trace, sync.result).costs.compute
    assert compute[0] > 5 * np.median(compute)
    by_chance = 1.968 * np.std(np.diff(compute[1:])) / np.sqrt(2) * np.sqrt(300)
    expected = np.hypot(by_chance, MODELLED_ERROR * one.predicted.total_ns)
    assert one.predicted.margin_ns == pytest.approx(expected, rel=0.02)


def test_the_interval_of_a_measured_run_whose_steps_hardly_vary_holds_what_was_measured():
    """Chance alone leaves 0.002 %, and the run took 0.3 % longer than predicted."""
    analysis = idlescope.analyze(idlescope.open(PUBLISHED / "sync.recording"))
    (one,) = idlescope.predict(analysis)
    modes = json.loads((PUBLISHED / "summary.json").read_text())["modes"]
    measured_ns = modes["async"]["total_s"] * 1e9
    assert one.predicted.total_ns != pytest.approx(measured_ns, rel=0.002)
    assert one.predicted.low_ns <= measured_ns <= one.predicted.high_ns


def test_the_interval_of_a_modelled_run_in_which_nothing_varies_holds_what_the_engine_takes():
    config = RunConfig(
        model="1b",
        tokens="uniform:5,60",
        batch_size=8,
        requests=64,
        host_ms=2,
        device_ms=3,
        device="modelled",
    )
    result = run(config)
    predicted = result.predicted()
    assert 0 < predicted.margin_ns < 0.01 * predicted.total_ns
    assert predicted.low_ns <= result.modes["async"].total_ns <= predicted.high_ns


@pytest.mark.slow
def test_intervals_of_random_scenarios_hold_what_the_engine_takes():
    held = []
    for seed in range(100, 100 + of(4, deep=10)):
        drawn = scenario(seed)
        sync, later = drawn.run("sync"), drawn.run("async")
        predicted = Replays(sync.trace, sync.result).predict(WhatIf())
        held.append(predicted.low_ns <= later.total_ns <= predicted.high_ns)
    assert np.mean(held) >= 0.95


def test_so_few_steps_that_their_variation_does_not_show_have_no_interval():
    trace = idlescope.open(FIXTURES / "loop_sync.json.gz")
    (few,) = idlescope.predict(idlescope.analyze(trace, window="steps:8-11"))
    assert few.predicted.margin_ns is None
    assert few.to_json()["predicted"]["low_s"] is None
    assert "too few steps to tell how far off" in few.text()
    assert "±" not in few.text()


def test_few_steps_have_a_wider_interval_than_many_of_the_same_variation():
    def share(steps):
        ends = np.cumsum(np.where(np.arange(steps) % 2, 900_000, 1_100_000))
        margin = margin_ns(ends, np.zeros(steps, np.bool_), int(ends[-1]), modelled=True)
        return margin / ends[-1] * np.sqrt(steps)

    assert share(6) > 1.3 * share(60)
