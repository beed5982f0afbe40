"""What host work costs: curves are what a prediction says, points measured, with sources."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

import idlescope
from idlescope import RunConfig, run
from idlescope.analysis import intervals
from idlescope.analysis.idle.occupancy import is_compute
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.prediction import published
from idlescope.analysis.prediction.curve import host_cost
from idlescope.analysis.prediction.replays import Replays
from idlescope.analysis.prediction.what_if import WhatIf
from tests.conftest import FIXTURES

REPORTS = FIXTURES.parents[1] / "reports" / "h200"


def works(**options):
    made = run(
        RunConfig(**{"device": "modelled:h200", "tokens": 60, "host_ms": 2.0, **options})
    )
    return {mode: (m.trace, m.result) for mode, m in made.modes.items()}


def fixture(name):
    analysis = idlescope.analyze(idlescope.open(FIXTURES / name))
    return {"device": (analysis.trace, analysis.results[0])}


@pytest.fixture(scope="module")
def both():
    return works(model="8b", requests=80, tokens="uniform:10,60")


def test_curves_are_the_predictions_from_the_synchronous_run(both):
    found, made = host_cost(both), Replays(*both["sync"])
    assert (found.replayed, [c.depth for c in found.curves]) == ("sync", [1, 2])
    for curve in found.curves:
        at = np.flatnonzero(np.isclose(curve.host_ms, 2.0))
        assert curve.idle_pct[at] == made.predict(WhatIf(curve.depth)).compute_idle_pct
        assert (curve.host_ms[0], curve.host_ms[-1]) == (
            0.0,
            pytest.approx(max(2 * found.device_ms, 1.1 * 13.76)),
        )
        assert (
            curve.idle_pct[-1]
            == made.predict(
                WhatIf(curve.depth, host=curve.host_ms[-1] / 2)
            ).compute_idle_pct
        )


@pytest.mark.parametrize(
    "name",
    ["a run", "transformers_sync.json.gz", "loop_eager.json.gz", "loop_item.json.gz"],
)
def test_more_host_work_never_idles_less_and_a_pipeline_never_more(both, name):
    sync, later = host_cost(both if name == "a run" else fixture(name)).curves
    assert (np.diff(sync.idle_pct) >= 0).all()
    assert (later.idle_pct <= sync.idle_pct + 0.1).all()
    assert (sync.idle_pct - later.idle_pct).max() > 5
    assert sync.idle_pct[-1] > 60


def test_measured_points_are_the_runs_own_figures(both):
    sync, later = host_cost(both).measured
    assert [(p.name, p.mode) for p in (sync, later)] == [
        ("sync", "sync"),
        ("async", "async"),
    ]
    for p, mode in ((sync, "sync"), (later, "async")):
        trace, result = both[mode]
        assert p.host_ms == pytest.approx(2.0)
        assert p.device_ms == pytest.approx(result.steps.device.mean() / 1e6)
        assert p.idle_pct == Replays(trace, result).recorded.compute_idle_pct
        operations = result.operations
        computing = is_compute(operations)
        kernels = intervals.union(operations.start[computing], operations.end[computing])
        of_first = operations.end[computing & (result.step == result.step.min())].max()
        after = Intervals(np.array([of_first]), np.array([operations.end[computing].max()]))
        idle = intervals.subtract(after, kernels)
        assert p.idle_pct == pytest.approx(
            100 * idle.length.sum() / after.length.sum(), abs=0.2
        )


def test_a_trace_has_one_point_which_lies_on_its_curve():
    found = host_cost(fixture("transformers_sync.json.gz"))
    (p,) = found.measured
    assert found.published == ()
    assert np.interp(
        p.host_ms, found.curves[0].host_ms, found.curves[0].idle_pct
    ) == pytest.approx(p.idle_pct, 0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "1b"},
        {"model": "8b", "batch_size": 16},
        {"model": "8b", "device": "modelled:h100"},
    ],
)
def test_other_engines_stand_only_beside_the_same_model_batch_and_gpu(both, options):
    assert host_cost(both).published == published.POINTS
    assert host_cost(works(mode="sync", **options)).published == ()


def test_published_points_are_those_of_their_sources():
    by = {(p.name, p.mode): p for p in published.POINTS}
    assert all(p.source for p in published.POINTS)
    parts = json.loads((REPORTS / "transformers.json").read_text())
    (peer,) = (
        part
        for what, part in parts.items()
        if what.startswith("transformers under idlescope run")
    )
    ours = json.loads((REPORTS / "published" / "summary.json").read_text())["modes"]
    for name, modes in (("transformers 5.17, paged", peer), ("idlescope, measured", ours)):
        for mode, figures in modes.items():
            p = by[name, mode]
            assert p.host_ms == pytest.approx(figures["host_ms_per_step"], abs=0.001)
            assert p.device_ms == pytest.approx(figures["device_ms_per_step"], abs=0.001)
            assert p.idle_pct == pytest.approx(100 - figures["compute_pct"], abs=0.001)
    for name, mode, total_s, active_pct in (
        ("transformers, as published", "sync", 300.6, 76.0),
        ("transformers, as published", "async", 234.5, 99.4),
        ("transformers 5.17, varlen", "sync", 481.67, 76.6),
        ("transformers 5.17, varlen", "async", 375.59, 99.9),
    ):
        p, sync, step_ms = by[name, mode], by[name, "sync"], total_s / 8.192
        assert p.idle_pct == pytest.approx(100 - active_pct)
        assert p.device_ms == pytest.approx(step_ms * active_pct / 100, rel=0.001)
        assert p.host_ms == pytest.approx(
            sync.device_ms * sync.idle_pct / (100 - sync.idle_pct), rel=0.001
        )


def test_nothing_is_drawn_where_steps_cannot_be_replayed_or_the_host_costs_nothing(both):
    trace, result = both["sync"]
    assert host_cost({}) is None
    assert host_cost(works(mode="sync", arrival="poisson:20", model="1b")) is None
    steps = structs.replace(result.steps, host=np.zeros_like(result.steps.host))
    assert host_cost({"sync": (trace, replace(result, steps=steps))}) is None
    alone = host_cost(
        {"sync": (trace, replace(result, steps=steps)), "async": both["async"]}
    )
    assert (alone.replayed, [p.name for p in alone.measured]) == ("async", ["async"])
